"""Operations and passes that a training takes."""
