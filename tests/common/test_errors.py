from __future__ import annotations

from pathlib import Path

import pytest

from foveate.common.errors import EXIT_DONE, BadInput, BudgetNotMet, FoveateError, InternalError, Undecided


def test_each_kind_has_the_exit_code_of_the_formats_page() -> None:
    codes = {kind.__name__: kind.exit_code for kind in (BudgetNotMet, BadInput, Undecided, InternalError)}
    assert codes == {"BudgetNotMet": 1, "BadInput": 2, "Undecided": 3, "InternalError": 70}
    assert EXIT_DONE == 0


@pytest.mark.parametrize("kind", [BadInput, BudgetNotMet, InternalError, Undecided])
def test_one_except_clause_catches_all(kind: type[FoveateError]) -> None:
    with pytest.raises(FoveateError, match="why"):
        raise kind("why")


def test_at_names_file_line_and_mend_in_one_sentence() -> None:
    error = BadInput.at(Path("a") / "plan.yaml", 7, "keep is 2.", "write at most 1.")
    assert str(error) == f"{Path('a') / 'plan.yaml'}, line 7: keep is 2; write at most 1."


def test_at_leaves_a_question_as_it_is_and_an_unknown_line_out() -> None:
    assert str(BadInput.at("plan.yaml", None, "did you mean 'keep'?")) == "plan.yaml: did you mean 'keep'?"
