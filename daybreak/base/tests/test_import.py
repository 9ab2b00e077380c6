"""What `import daybreak` may cost and what the extension holds."""


def test_extension_maps_canonical_codes_to_http() -> None:
    from daybreak import _core

    assert _core.base.http_status(5) == 404
