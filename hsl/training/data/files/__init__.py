"""What readers of image files share: pixels, publishers' splits, folders of classes, columns. Torch-free."""
