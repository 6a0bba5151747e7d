"""The file that shows training as it goes."""

from reasonmaxxer.method.history import add_progress, read_progress, start_progress


def test_taken_up_from_a_checkpoint_it_forgets_what_will_be_done_again(tmp_path):
    folder = tmp_path / "gate-0"
    assert read_progress(folder) == []
    start_progress(folder, [])
    for step in (1, 2, 3):
        add_progress(folder, {"step": step, "loss": step / 2})
    with (folder / "progress.jsonl").open("a") as file:
        file.write('{"step": 4')  # killed here
    assert [row["step"] for row in read_progress(folder)] == [1, 2, 3]
    start_progress(folder, [{"step": 1, "loss": 0.5}])
    add_progress(folder, {"step": 2, "loss": 9.0})
    assert read_progress(folder) == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 9.0}]
