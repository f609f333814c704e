import functools

import pytest
import torch
import torch.nn.functional as F
from quiet_trainer import make_trainer
from torch.utils.data import DataLoader

from gcvideo.models import ClipClassifier, Placement, slow_resnet
from gcvideo.nn import global_context
from gcvideo.training import VideoClassifier, WarmupSteps, accuracy_metrics

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no"),
]

GC = Placement(block=functools.partial(global_context, ratio=1 / 4), res4=[1])


def make_module(placement=GC, num_classes=6, **changes):
    net = slow_resnet(num_classes=num_classes, width=4, dropout=0.0, placement=placement)
    given = {
        "classes": [f"class {label}" for label in range(num_classes)],
        "optimizer": functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
        "lr": 0.1,
        "base_batch_size": 4,
        "views_per_step": 4,
    }
    model = ClipClassifier(net, mean=[0.45] * 3, std=[0.225] * 3)
    return VideoClassifier(model, **(given | changes))


def make_batch(videos=2, views=2, num_classes=6):
    return {
        "views": torch.randint(0, 256, (videos, views, 3, 2, 32, 32), dtype=torch.uint8),
        "labels": torch.randint(0, num_classes, (videos, 1)).expand(videos, views).contiguous(),
        "video": torch.arange(videos),
    }


def loader(*batches):
    return DataLoader(list(batches), batch_size=None, num_workers=0)


def test_the_loss_is_the_cross_entropy_of_every_view():
    module = make_module(label_smoothing=0.1)
    batch = make_batch()
    module.log = lambda *args, **kwargs: None
    loss = module.training_step(batch, 0)
    logits = module.model(batch["views"])
    views = [
        F.cross_entropy(logits[b, v][None], batch["labels"][b, v][None], label_smoothing=0.1)
        for b in range(2)
        for v in range(2)
    ]
    torch.testing.assert_close(loss, torch.stack(views).mean())


def test_validation_averages_softmax_over_views_and_counts_each_video_once(tmp_path):
    module = make_module()
    batches = [make_batch(videos=3, views=2), make_batch(videos=1, views=2)]
    trainer = make_trainer(tmp_path)
    (metrics,) = trainer.validate(module, loader(*batches), verbose=False)
    correct, total = 0, 0
    module.eval()
    with torch.no_grad():
        for batch in batches:
            scores = module.model(batch["views"]).softmax(-1).mean(1)
            correct += int((scores.argmax(1) == batch["labels"][:, 0]).sum())
            total += len(scores)
    assert total == 4
    assert metrics["val/top1"] == pytest.approx(correct / 4)


def test_top5_and_mean_class_accuracy_by_hand(tmp_path):
    module = make_module()
    batch = make_batch(videos=12, views=1)
    trainer = make_trainer(tmp_path)
    (metrics,) = trainer.test(module, loader(batch), verbose=False)
    with torch.no_grad():
        logits = module.eval().model(batch["views"])[:, 0]
    labels = batch["labels"][:, 0]
    in_top5 = (logits.topk(5).indices == labels[:, None]).any(1).float().mean()
    assert metrics["test/top5"] == pytest.approx(float(in_top5))
    hits = logits.argmax(1) == labels
    recalls = [hits[labels == c].float().mean() for c in labels.unique()]
    assert metrics["test/mean_class_accuracy"] == pytest.approx(float(torch.stack(recalls).mean()))


def test_top1_and_top5_part_ways_after_a_first_batch_on_which_they_agree():
    metrics = accuracy_metrics(6, "val/")
    best = torch.eye(6)
    metrics.update(best, torch.arange(6))
    second_best = best + 0.5 * torch.eye(6).roll(1, dims=1)
    metrics.update(second_best, torch.arange(6).roll(-1))
    values = metrics.compute()
    assert float(values["val/top1"]) == pytest.approx(0.5)
    assert float(values["val/top5"]) == pytest.approx(1.0)


def test_the_test_keeps_the_scores_of_every_video(tmp_path):
    module = make_module()
    batch = make_batch(videos=3)
    make_trainer(tmp_path).test(module, loader(batch), verbose=False)
    with torch.no_grad():
        expected = module.eval().model(batch["views"]).softmax(-1).mean(1)
    torch.testing.assert_close(module.test_scores.scores(), expected)
    assert torch.equal(module.test_scores.labels(), batch["labels"][:, 0])


def test_the_rate_follows_the_real_batch_and_the_schedule_per_step(tmp_path):
    module = make_module(
        scheduler=WarmupSteps(milestones=[1]), base_batch_size=16, weight_decay=0.0
    )
    rates = []

    step = module.training_step

    def record(batch, batch_idx):
        rates.append(module.trainer.optimizers[0].param_groups[0]["lr"])
        return step(batch, batch_idx)

    module.training_step = record
    make_trainer(tmp_path, max_epochs=2, accumulate_grad_batches=2).fit(
        module, loader(*[make_batch() for _ in range(4)])
    )
    assert module.total_batch_size == 8
    # 0.1 * 8 / 16, for two steps of two batches; a tenth after the first epoch.
    assert rates == pytest.approx([0.05] * 4 + [0.005] * 4)


def test_train_only_blocks_leaves_the_trunk_and_its_statistics_alone(tmp_path):
    module = make_module(train_only="blocks")
    before = {k: v.clone() for k, v in module.model.state_dict().items()}
    make_trainer(tmp_path).fit(module, loader(make_batch(), make_batch()))
    changed = {k for k, v in module.model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed
    assert all("branch_fusion" in key or ".proj." in key for key in changed)


def test_train_only_blocks_without_blocks_is_refused():
    with pytest.raises(ValueError, match="train_only is 'blocks' but the net holds no inserted"):
        make_module(placement=Placement(), train_only="blocks")


@pytest.mark.parametrize("tested_in", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("32-true", torch.float32),
        ("bf16-mixed", torch.bfloat16),
        ("bf16-true", torch.bfloat16),
    ],
)
def test_the_layout_is_settled_for_the_type_that_a_fit_and_a_test_compute_in(
    tmp_path, monkeypatch, precision, dtype, tested_in
):
    seen = []
    monkeypatch.setattr(
        "gcvideo.training._classifier.settle_layout", lambda *given: seen.append(given)
    )
    module = make_module(precision=tested_in)
    trainer = make_trainer(
        tmp_path, precision=precision, limit_train_batches=0, limit_val_batches=0
    )
    trainer.fit(module, loader(make_batch()))
    trainer.test(module, loader(make_batch()), verbose=False)
    cpu, kept = torch.device("cpu"), dtype if precision == "bf16-true" else tested_in
    assert seen == [(module.model, cpu, dtype), (module.model, cpu, kept)]


@pytest.mark.parametrize("trainer_precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_validation_and_test_compute_in_their_own_precision(tmp_path, trainer_precision, precision):
    module, batch = make_module(precision=precision), make_batch()
    trainer = make_trainer(tmp_path, precision=trainer_precision)
    trainer.fit(module, loader(make_batch()), loader(batch))
    seen = []
    score = module._score
    module._score = lambda batch: seen.append(score(batch)) or seen[-1]
    trainer.validate(module, loader(batch), verbose=False)
    trainer.test(module, loader(batch), verbose=False)
    mixed = precision == torch.bfloat16
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        expected = module.eval().model(batch["views"]).float().softmax(-1).mean(1)
    assert len(seen) == 2
    assert all(torch.equal(scores, expected) for scores, *_ in seen)


def test_training_computes_in_the_trainers_precision(tmp_path):
    module, seen = make_module(), []
    conv = module.model.net.blocks[0].conv
    conv.register_forward_hook(lambda *given: seen.append((given[0].training, given[2].dtype)))
    trainer = make_trainer(tmp_path, precision="bf16-mixed")
    trainer.fit(module, loader(make_batch()), loader(make_batch()))
    assert seen == [(True, torch.bfloat16), (False, torch.float32)]
