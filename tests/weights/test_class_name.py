import pytest

from gcvideo.weights._zoo import class_names


def test_kinetics400_has_400_different_names_in_alphabetical_order():
    names = class_names("kinetics400")
    assert len(set(names)) == len(names) == 400
    assert names == tuple(sorted(names))
    assert (names[0], names[-1]) == ("abseiling", "zumba")
    # The labels of three classes in process_data/kinetics/classids.json of video-nonlocal-net.
    labels = {"sharpening knives": 290, "eating ice cream": 115, "cutting nails": 81}
    assert {name: names.index(name) for name in labels} == labels


def test_names_have_no_quotes_and_no_blanks_around_them():
    assert all(name and name == name.strip(' "\t') for name in class_names("kinetics400"))


def test_an_unknown_list_is_refused_by_name():
    with pytest.raises(ValueError, match="called 'kinetics999'; choose one of kinetics400"):
        class_names("kinetics999")
