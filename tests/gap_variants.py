"""Edited copies of the reference GAPs: old versions and rare forms of the same file."""

import re


def _version(number):
    return lambda text: re.sub(r'gap_version="\d+"', f'gap_version="{number}"', text)


def _without_version(text):
    return re.sub(r' gap_version="\d+"', "", text)


def _zeta_in_theta(text):
    """As old files have it."""
    return re.sub(r' zeta="([^"]+)"([^>]*>)', r"\2\n<theta> \1 </theta>", text)


def _one_e0(text):
    text = re.sub(r"\s*<e0 [^>]*>", "", text)
    return text.replace('do_core="F"', 'do_core="F" e0="-.25"')


def _half_cutoffs(text):
    return re.sub(r'sparseCutoff="[^"]+"', 'sparseCutoff=".5"', text)


# name of the variant: (original, edit of its text)
VARIANTS = {
    "two_degrees": ("two", _version(1423143768)),  # no 1/sqrt(2l + 1), central atom in all channels
    "two_centres": ("two", _version(1426512067)),  # central atom in all channels
    "two_ancient": ("two", _without_version),
    "shared_theta": ("shared", _zeta_in_theta),
    "subset_e0": ("subset", _one_e0),
    "shared_cutoffs": ("shared", _half_cutoffs),
}


def write_variant(folder, name, target):
    """Write a variant of a file in `folder` into `target`, beside a copy of its sparse points; gives its path."""
    original, edit = VARIANTS[name]
    text = (folder / f"{original}.xml").read_text()
    edited = edit(text)
    assert edited != text
    (target / f"{name}.xml").write_text(edited)
    for points in folder.glob(f"{original}.xml.sparseX.*"):
        (target / points.name).write_bytes(points.read_bytes())
    return target / f"{name}.xml"
