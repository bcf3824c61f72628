"""How things look: the theme on a page, and the light values in a file."""

from hsl.results.report.style import DARK, LIGHT, SHAPES, chart_config, color, palette, style_sheet

KNOWN = ("dense", *(f"m{n}" for n in range(12)))


def test_a_page_names_colours_and_has_a_legend_of_its_own():
    config = chart_config(static=False)
    assert config["background"] == "transparent"
    assert config["legend"] == {"disable": True}
    assert config["axis"]["labelColor"] == config["text"]["color"] == config["rule"]["color"] == "var(--ink)"
    assert config["axis"]["titleColor"] == "var(--muted)"
    assert {config["axis"][f"{part}Color"] for part in ("grid", "domain", "tick")} == {"var(--line)"}


def test_a_file_has_the_light_values_and_a_legend():
    config = chart_config(static=True)
    assert config["background"] == LIGHT["paper"]
    assert "disable" not in config["legend"]
    assert config["legend"]["labelColor"] == LIGHT["ink"]
    assert config["title"]["subtitleColor"] == LIGHT["muted"]


def test_both_draw_no_frame_and_no_vertical_lines_and_leave_aria_to_the_page():
    for static in (False, True):
        config = chart_config(static)
        assert config["view"] == {"stroke": None}
        assert config["axisX"] == {"grid": False}
        assert config["aria"] is False


def test_both_themes_have_the_same_names():
    assert LIGHT.keys() == DARK.keys()
    assert (color("gain", True), color("gain", False)) == (LIGHT["gain"], "var(--gain)")
    assert style_sheet({"a": "1", "b": "2"}) == "--a:1;--b:2;"


def test_a_method_keeps_its_colour_and_takes_the_first_free_shape():
    look = palette(KNOWN, {"m3", "m11", "m0"})
    assert look == {
        "dense": ("ink", SHAPES[0]),
        "m0": ("hue0", SHAPES[0]),
        "m3": ("hue3", SHAPES[1]),
        "m11": ("hue1", SHAPES[2]),
    }
    every = palette(KNOWN, set(KNOWN))
    assert every["m10"] == ("hue0", SHAPES[0])
    assert len(set(SHAPES)) == len(SHAPES) == 10


def test_what_stands_on_an_axis_is_of_one_size_and_a_title_larger():
    """12 pixels, the smallest that a page shows; labels that are wider than 140 pixels are cut."""
    for static in (False, True):
        config = chart_config(static)
        axis = config["axis"]
        assert [axis["labelFontSize"], axis["titleFontSize"], config["text"]["fontSize"]] == [12, 12, 12]
        assert config["title"]["fontSize"] == 14
        assert (axis["labelLimit"], axis["gridDash"]) == (140, [1, 3])
    assert chart_config(static=True)["legend"]["labelFontSize"] == 12
