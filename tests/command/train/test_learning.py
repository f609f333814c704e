import pytest

from gcvideo.command.train._training import train

DEMO = [
    "data=demo",
    "trainer=cpu",
    "trainer.precision=32-true",
    "trainer.enable_progress_bar=false",
    "num_threads=1",  # beside another test, two wait for each other
    "callbacks=none",
    "logger=none",
]


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
def test_a_net_that_sees_time_learns_the_demo_and_one_that_does_not_stays_at_chance(
    compose_config, tmp_path
):
    """Chance is 0.125: no frame by itself may tell the motion."""
    accuracy = {}
    # The second has nothing to learn but its videos by heart, for which more epochs would do more.
    for model, words in (("i3d_gc", []), ("c2d", ["epochs=6"])):
        given = [f"model={model}", *DEMO, *words, f"output_dir={tmp_path / model}"]
        accuracy[model] = train(compose_config("train", given))["last_val_top1"]
    assert accuracy["i3d_gc"] >= 0.95
    assert accuracy["c2d"] < 0.25
