"""The classes: named, or inferred from the labels, and labels that are none."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations.data.classes import classes_of, in_order
from ablations.errors import UserError
from ablations.study.dataset import Reading, class_of


def inferred(*labels: object, classes: tuple[str, ...] | None = None) -> tuple[str, ...]:
    where = [f"a.csv: line {number + 2}" for number in range(len(labels))]
    texts = pd.DataFrame({"where": where, "Label": list(map(str, labels))})
    return classes_of(texts, Reading(text="review", label="stars", classes=classes), in_schema={})


@given(st.lists(st.integers(-50, 200), min_size=1, unique=True))
def test_classes_that_are_whole_numbers_stand_in_their_order(numbers):
    assert in_order(map(str, numbers)) == tuple(map(str, sorted(numbers)))


@given(st.sets(st.text("abcXYZ 019.-é", min_size=1, max_size=8)))
def test_other_classes_stand_in_the_order_of_their_characters(names):
    names = {*names, "a"}
    assert in_order(names) == tuple(sorted(names))


def test_a_whole_number_is_the_index_of_a_class_unless_classes_are_numbers():
    assert class_of("1", ["bad", "good"]) == 1
    assert class_of("2", ["bad", "good"]) is None
    assert class_of("-1", ["bad", "good"]) is None
    assert class_of("1", ["1", "2"]) == 0
    assert class_of("0", ["1", "2"]) is None


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["01", "02", "10"], ("01", "02", "10")),
        (["+1", "-1"], ("+1", "-1")),
        (["2", "01"], ("01", "2")),
        (["none", "infinite"], ("infinite", "none")),
        (["v1.5", "2.0"], ("2.0", "v1.5")),
    ],
)
def test_labels_that_are_no_plain_numbers_are_names(labels, expected):
    assert inferred(*labels) == expected


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 2, 4.5, 3], "a.csv: line 4: the column 'stars' (label) is 4.5, a number with decimals;"
                         " allowed: texts, whole numbers or truth values"),
        ([1, "2e0", 3], "line 3: the column 'stars' (label) is 2e0, a number with decimals"),
        ([1, 2, "nan"], "line 4: the column 'stars' (label) is 'nan', as a missing value is"
                        " written; allowed: a label on every line, or 'nan' among the names in"),
        (["EU", "NA"], "line 3: the column 'stars' (label) is 'NA', as a missing value is written"),
        (["a", "None"], "(label) is 'None', as a missing value"),
        *(
            (["a", other], "as a missing value is written")
            for other in ("Null", "NAN", "Na", "<na>", "NONE", "\\N", "(null)", "#REF!", "#DIV/0!")
        ),
        ([1, 1, 1], "the column 'stars' (label) is '1' in every text; allowed: two classes"),
        (["spam", "ham", "Spam"], "a.csv: line 4: the column 'stars' (label) is 'Spam', but 'spam'"
                                  " in a.csv: line 2, which differs in blanks, case or Unicode"),
        *(
            ([*two, "c"], "which differs in blanks, case or Unicode form alone")
            for two in (["\u00e9", "e\u0301"], ["ham", "ha\u200cm"], ["\uff41", "a"], ["ß", "ss"],
                        ["New York", "New  York"], ["New York", "New\u00a0York"],
                        ["❤", "❤\ufe0f"], ["spam", "spam\u3164"], ["a b", "a\u2800b"])
        ),
        (range(1002), "line 1002: the column 'stars' (label) holds more than 1000 different values,"
                      " such as '1000'"),
    ],
)  # fmt: skip
def test_labels_that_make_no_classes(labels, message):
    with pytest.raises(UserError) as raised:
        inferred(*labels)
    assert message in str(raised.value)


def test_labels_that_are_no_class_of_those_that_are_named():
    names = ("bad", "good")
    assert inferred("good", "bad", 1, classes=names) == names
    assert inferred("a", "A", classes=("a", "A")) == ("a", "A")
    message = r"a\.csv: line 4: the column 'stars' \(label\) is 'god'; allowed: 'bad', 'good'"
    with pytest.raises(UserError, match=message):
        inferred("good", "bad", "god", classes=names)
    with pytest.raises(UserError) as raised:
        inferred(0, 1, 2, classes=names)
    assert str(raised.value) == (
        "a.csv: line 4: the column 'stars' (label) is '2'; allowed: 'bad', 'good', the names in"
        " classes, or the number of one, counted from 0, which is 'bad'. Where numbers mean"
        " something else, let classes map them to names: {2: a name, …}"
    )
    with pytest.raises(UserError, match="'good' differs in blanks, case or Unicode form alone"):
        inferred("Good", classes=names)


def test_what_looks_missing_is_a_class_where_classes_name_it():
    assert inferred("NA", "EU", classes=("NA", "EU")) == ("NA", "EU")
    assert inferred("na", "Null", classes=("na", "Null")) == ("na", "Null")
    assert inferred("spam", "ham", classes=(" spam", "ham ")) == ("spam", "ham")
