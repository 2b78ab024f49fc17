"""Both phases on a trunk of a few channels: what is learned, what resumes, what is refused."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_training
import torch
from safetensors.torch import load_file
from tiny_training import CLASSES, colour_masks, colour_pictures, recipe

from encoder.model import load_model
from encoder.training.build import build_segmentation_network
from encoder.training.inputs import store_maps
from encoder.training.judge import class_overlaps, judge_segmentation, load_segmentation, prediction_sheet
from encoder.training.loop import LAST, seed_step
from encoder.training.recipes import Recipe, SegmentationSettings
from encoder.training.segmentation import SegmentationPhase
from encoder.training.train import Environment, export_model, read_mask_learning, train_hash, train_segmentation
from hashreel.errors import BadInputError, ConflictError, ModelFileError, NotFoundError


def state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert different == []


@pytest.mark.parametrize("freeze", ["none", "trunk", "features"])
def test_hash_phase_learns_colours(freeze: str, tmp_path: Path) -> None:
    settings = recipe(freeze=freeze, epochs=12, flip=True)
    network, progress = train_hash(settings, colour_pictures(), Environment(tmp_path))
    assert progress.history[-1]["loss"] < 0.7 * progress.history[0]["loss"]
    assert "class_accuracy" not in progress.history[-1]  # OrthoHash leaves the class layer alone
    assert not network.training


def test_frozen_parts_do_not_move(tmp_path: Path) -> None:
    for freeze, moving in (("trunk", ("psp.", "segmentation.", "head.")), ("features", ("head.",))):
        settings = recipe("psp", freeze=freeze, epochs=1)
        environment = Environment(tmp_path / freeze)
        network, _ = train_hash(settings, colour_pictures(), environment, mask_classes=("background", *CLASSES))
        fresh = fresh_state(settings)
        moved = {name.split(".")[0] for name, tensor in state(network).items() if not torch.equal(tensor, fresh[name])}
        assert "head" in moved
        assert moved <= {prefix.removesuffix(".") for prefix in moving}


def fresh_state(settings: Recipe) -> dict[str, torch.Tensor]:
    from encoder.training.build import build_hash_network

    return state(build_hash_network(settings.network, 3, 4, settings.seed))


def test_segmentation_phase_learns_halves_and_feeds_the_hash_phase(tmp_path: Path) -> None:
    settings = recipe("psp", freeze="features", epochs=2)
    segmentation = replace(settings.segmentation, epochs=15) if settings.segmentation else None
    settings = replace(settings, segmentation=segmentation)
    environment = Environment(tmp_path / "masks")
    network, progress = train_segmentation(settings, colour_masks(), environment, held_out=colour_masks())
    assert progress.history[-1]["loss"] < 0.7 * progress.history[0]["loss"]
    assert progress.history[-1]["mean_iou"] > 0.4
    assert read_mask_learning(tmp_path / "masks").classes == ("background", *CLASSES)
    hashed, progress = train_hash(
        settings,
        colour_pictures(),
        Environment(tmp_path / "hash"),
        mask_classes=("background", *CLASSES),
        segmentation=tmp_path / "masks",
    )
    for name, tensor in state(network).items():
        assert torch.equal(tensor, state(hashed)[name])
    manifest = export_model(
        tmp_path / "model",
        "colours",
        settings,
        hashed,
        [{"name": "colours", "use": "all", "licence": "CC0-1.0"}],
        {"figures": progress.history[-1]},
        classes=CLASSES,
        mask_classes=("background", *CLASSES),
    )
    model = load_model(tmp_path / "model", device="cpu")
    assert model.fingerprint == manifest.fingerprint
    assert model.concepts == CLASSES
    analysis = model.analyse([colour_pictures().read(i) for i in range(3)])
    assert analysis.areas is not None
    assert analysis.masks is not None
    assert analysis.areas.shape == (3, 3)
    assert analysis.masks.shape == (3, 1, 32, 32)
    np.testing.assert_array_equal(analysis.codes, model.encode([colour_pictures().read(i) for i in range(3)]))


def test_segmentation_on_stored_maps_equals_segmentation_on_pixels(tmp_path: Path) -> None:
    """Stored maps are float16, so losses agree to three digits."""
    settings = SegmentationSettings(freeze="trunk")
    network = build_segmentation_network(recipe("psp").network, 4, seed=0)
    stored = store_maps(tmp_path, network.trunk, colour_masks(), 32, lambda *_: None)
    numbers = np.array([5, 0, 9])
    losses = []
    for given in (stored, None):
        phase = SegmentationPhase(network, colour_masks(), 32, settings, 0, stored=given)
        network.eval()
        losses.append(float(phase.loss(numbers, 0).detach()))
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)


def interrupted(settings: Recipe, folder: Path, at: tuple[int, int]) -> dict[str, torch.Tensor]:
    """Train until (epoch, step) is done, fail there, and train on in the same folder."""

    def stop(epoch: int, step: int, steps: int, loss: float) -> None:
        if (epoch, step) == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_hash(settings, colour_pictures(), Environment(folder, on_step=stop, checkpoint_every_s=0.0))
    network, progress = train_hash(settings, colour_pictures(), Environment(folder))
    assert len(progress.history) == settings.hash.epochs
    return state(network)


@pytest.mark.parametrize("freeze", ["none", "features"])
@pytest.mark.parametrize("at", [(0, 1), (1, 3), (2, 5)])
def test_an_interrupted_training_ends_with_the_same_weights(freeze: str, at: tuple[int, int], tmp_path: Path) -> None:
    settings = recipe(freeze=freeze)
    whole, _ = train_hash(settings, colour_pictures(), Environment(tmp_path / "whole"))
    assert_same(state(whole), interrupted(settings, tmp_path / "parts", at))


def test_a_training_killed_with_sigkill_ends_with_the_same_weights(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        sys.path.insert(0, {str(Path(tiny_training.__file__).parent)!r})
        import torch
        torch.set_num_threads(1)
        from tiny_training import colour_pictures, recipe
        from encoder.training.train import Environment, train_hash
        folder, pause = Path(sys.argv[1]), float(sys.argv[2])
        on_step = lambda *step: (print(step, flush=True), time.sleep(pause))
        train_hash(recipe(epochs=2), colour_pictures(), Environment(folder, on_step=on_step, checkpoint_every_s=0.0))
        """)
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}

    def start(folder: str, pause: float) -> subprocess.Popen[str]:
        command = [sys.executable, str(script), str(tmp_path / folder), str(pause)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    victim = start("killed", 0.05)
    assert victim.stdout is not None
    for _ in range(3):
        victim.stdout.readline()
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    for folder in ("killed", "whole"):
        process = start(folder, 0.0)
        process.communicate()
        assert process.returncode == 0
    first, second = (load_file(tmp_path / folder / "hash" / LAST) for folder in ("killed", "whole"))
    assert_same(first, second)


def test_micro_batches_add_up_to_the_batch(tmp_path: Path) -> None:
    """Without dropout and batch statistics the gradients are the same sums; a pointwise loss is needed."""
    results = []
    for size in (0, 3):
        settings = recipe(freeze="features", loss="classification", micro_batch=size, epochs=1)
        settings = replace(settings, network=replace(settings.network, centre=False, dropout=0.0))
        network, _ = train_hash(settings, colour_pictures(), Environment(tmp_path / str(size)))
        results.append(state(network))
    for name, tensor in results[0].items():
        torch.testing.assert_close(tensor, results[1][name], rtol=1e-4, atol=1e-6)


def test_two_ranks_on_gloo_equal_one(tmp_path: Path) -> None:
    script = tmp_path / "ranks.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys
        from dataclasses import replace
        from pathlib import Path
        sys.path.insert(0, {str(Path(tiny_training.__file__).parent)!r})
        import torch
        torch.set_num_threads(1)
        from tiny_training import colour_pictures, recipe
        from encoder.training.ranks import joined_ranks
        from encoder.training.train import Environment, train_hash
        settings = recipe(freeze="features", loss="classification", held_out=0)
        settings = replace(settings, network=replace(settings.network, centre=False, dropout=0.0))
        with joined_ranks(torch.device("cpu")) as ranks:
            train_hash(settings, colour_pictures(), Environment(Path(sys.argv[1]), ranks=ranks))
        names = [task.joinpath("comm").read_text() for task in Path("/proc/self/task").iterdir()]
        assert not any("gloo" in name for name in names), names  # a thread of the group can abort the exit
        """)
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, str(script), str(tmp_path / "two")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    subprocess.run([sys.executable, str(script), str(tmp_path / "one")], check=True, env=environment)
    one, two = (load_file(tmp_path / folder / "hash" / LAST) for folder in ("one", "two"))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, two[name], rtol=1e-4, atol=1e-6)


def test_checkpoints_of_other_trainings_are_refused(tmp_path: Path) -> None:
    settings = recipe(freeze="features", epochs=1)
    train_hash(settings, colour_pictures(), Environment(tmp_path))
    with pytest.raises(ConflictError, match="another recipe"):
        train_hash(replace(settings, seed=1), colour_pictures(), Environment(tmp_path))
    with pytest.raises(ConflictError, match="other data"):
        train_hash(settings, colour_pictures(60), Environment(tmp_path))
    (tmp_path / "hash" / LAST).write_bytes(b"torn")
    with pytest.raises(ModelFileError, match="checkpoint"):
        train_hash(settings, colour_pictures(), Environment(tmp_path))


def test_a_hash_phase_without_its_segmentation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="train segmentation"):
        read_mask_learning(tmp_path)
    settings = recipe("psp", freeze="features")
    with pytest.raises(ModelFileError, match=r"last\.safetensors"):
        train_hash(
            settings, colour_pictures(), Environment(tmp_path), mask_classes=("background", "x"), segmentation=tmp_path
        )
    with pytest.raises(BadInputError, match="segmentation phase"):
        train_segmentation(recipe(), colour_masks(), Environment(tmp_path))


def test_rehearsing_masks_needs_masks_and_lowers_the_segmentation_loss(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="masks"):
        train_hash(recipe("psp", segmentation_weight=1.0), colour_pictures(), Environment(tmp_path))
    settings = recipe("psp", segmentation_weight=5.0, epochs=2)
    _, progress = train_hash(
        settings,
        colour_pictures(),
        Environment(tmp_path / "with"),
        mask_classes=("background", *CLASSES),
        masks=colour_masks(),
    )
    assert progress.history[1]["loss"] < progress.history[0]["loss"]


def test_too_few_pictures_for_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="fewer than one batch"):
        train_hash(recipe(freeze="features", batch=64, held_out=0), colour_pictures(), Environment(tmp_path))


def test_steps_are_seeded_apart() -> None:
    draws = set()
    for place in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)):
        seed_step(*place)
        draws.add(float(torch.rand(1)))
    assert len(draws) == 4


def test_learning_curves_are_written(tmp_path: Path) -> None:
    from encoder.training.curves import write_curves

    write_curves(tmp_path, [{"epoch": 0, "loss": 2.0, "score": 0.1}, {"epoch": 1, "loss": 1.0, "score": 0.3}])
    assert (tmp_path / "history.csv").read_text().splitlines()[1] == "0,2.0,0.1"
    assert (tmp_path / "history.png").stat().st_size > 500


def test_a_finished_segmentation_is_judged_and_shown(tmp_path: Path) -> None:
    settings = recipe("psp")
    data = colour_masks(6)
    network, _ = train_segmentation(settings, data, Environment(tmp_path), held_out=data)
    loaded = load_segmentation(settings, tmp_path / "segmentation" / LAST, 4)
    assert_same(state(network), state(loaded))
    counts = judge_segmentation(loaded, data, 32)
    assert counts.sum() == 6 * 32 * 32
    figures = class_overlaps(counts, data.classes)
    assert {"pixel_accuracy", "mean_iou", "iou_red"} <= set(figures)
    assert prediction_sheet(loaded, data, 32, [0, 1]).size == (3 * 32 + 8, 2 * 32 + 4)
    with pytest.raises(BadInputError, match="3 classes"):
        load_segmentation(settings, tmp_path / "segmentation" / LAST, 3)
    with pytest.raises(ModelFileError, match="not a checkpoint"):
        load_segmentation(settings, tmp_path / "nothing", 4)
