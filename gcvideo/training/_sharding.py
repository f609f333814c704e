from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.distributed as dist
from lightning import Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.plugins.layer_sync import LayerSync
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from gcvideo.models import stages_of


class ShardedStrategy(ModelParallelStrategy):
    """Lightning strategy: weights, gradients and optimizer state are shared out over all ranks (FSDP2).

    Each residual block is gathered when it computes, and the rest of the net as one more group; the
    gradient is the mean over ranks, as under DDP. Under ``bf16-mixed`` Lightning's autocast computes
    in bf16, as under DDP, and weights and batch statistics stay float32; those of a rank are its own,
    unless a plugin such as ``BatchNormGroups`` takes them over ranks. During validation and test
    every rank holds the whole net, so that ranks may score different numbers of videos.

    Checkpoints are one file of whole tensors, with the keys and the optimizer state that DDP and a
    single process write; each can be resumed by the others. Runs on CPUs too (gloo).
    Source: Zhao et al., PyTorch FSDP (arXiv:2304.11277).

    Args:
        settings: of ``ModelParallelStrategy``: ``process_group_backend``, ``timeout``.

    Raises:
        ValueError: with a ``WeightAveraging`` callback (EMA).
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(save_distributed_checkpoint=False, **settings)
        # Lightning fills it where a strategy has it.
        self._layer_sync: LayerSync | None = None

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        self._tensor_parallel_size = 1
        super().setup_environment()

    def setup(self, trainer: Trainer) -> None:
        _refuse_averaging(trainer)
        assert self.accelerator is not None
        assert self.model is not None
        fitting = trainer.state.fn == TrainerFn.FITTING
        self.accelerator.setup(trainer)
        self.model = self.precision_plugin.convert_module(self.model)
        if fitting and self._layer_sync is not None:
            self.model = self._layer_sync.apply(self.model)
        self.model_to_device()
        net = self._net
        if not isinstance(net, FSDPModule):
            shard_net(net, self.device_mesh["data_parallel"])
        self.barrier()
        if fitting:
            self.setup_optimizers(trainer)
        self.setup_precision_plugin()

    def teardown(self) -> None:
        if self._layer_sync is not None and self.model is not None:
            self.model = self._layer_sync.revert(self.model)
        super().teardown()

    @property
    def _net(self) -> nn.Module:
        module = self.lightning_module
        assert module is not None
        return cast(Any, module).model.net

    def on_validation_start(self) -> None:
        _gather_net(self._net)

    def on_validation_end(self) -> None:
        _release_net(self._net)

    def on_test_start(self) -> None:
        _gather_net(self._net)

    def on_test_end(self) -> None:
        _release_net(self._net)

    def load_checkpoint(
        self, checkpoint_path: Any, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        module = self.lightning_module
        assert module is not None
        shards = module.state_dict()
        state = {
            name: _shard_like(tensor, shards.get(name))
            for name, tensor in checkpoint["state_dict"].items()
        }
        module.load_state_dict(state, strict=strict)

    # ModelParallelStrategy numbers parameters as the module lists them, other strategies as the
    # groups of the optimizer do.
    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        content = optimizer.state_dict()
        state = {
            index: {name: _whole(value) for name, value in of_parameter.items()}
            for index, of_parameter in content["state"].items()
        }
        return {**content, "state": state}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, content in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            indices = [i for group in content["param_groups"] for i in group["params"]]
            shards = dict(zip(indices, parameters, strict=True))
            state = {
                index: {name: _shard_like(value, shards[index]) for name, value in values.items()}
                for index, values in content["state"].items()
            }
            optimizer.load_state_dict({**content, "state": state})


def shard_net(net: nn.Module, mesh: DeviceMesh) -> None:
    """Share out the parameters of a net over the ranks of a mesh, in place, from rank 0's values.

    Args:
        net: a net of this package on the device of the mesh; its keys and modules stay.
        mesh: one-dimensional.
    """
    with torch.no_grad():
        for tensor in [*net.parameters(), *net.buffers()]:
            # fully_shard refuses the strides of channels_last_3d.
            tensor.data = tensor.data.contiguous()
            dist.broadcast(tensor.data, 0)
    for stage in stages_of(net).values():
        for block in cast(Any, stage).res_blocks:
            fully_shard(block, mesh=mesh)
    fully_shard(net, mesh=mesh)


def _refuse_averaging(trainer: Trainer) -> None:
    callbacks: list[Any] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    for callback in callbacks:
        if isinstance(callback, WeightAveraging):
            raise ValueError(
                f"the callback {type(callback).__name__} averages whole weights, but trainer=fsdp shares "
                "them out over ranks; choose trainer=ddp, or ema=null"
            )


def _gather_net(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, FSDPModule):
            module.set_reshard_after_forward(False, recurse=False)
            module.unshard()


def _release_net(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, FSDPModule):
            # The root is needed again at once by the backward pass; so is fully_shard's own choice.
            module.set_reshard_after_forward(module is not net, recurse=False)
            module.reshard()


def _whole(value: Any) -> Any:
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def _shard_like(value: Any, shard: Tensor | None) -> Any:
    """This rank's part of a whole tensor; other values, such as a count of steps, as they are."""
    if (
        not isinstance(shard, DTensor)
        or not isinstance(value, Tensor)
        or value.shape != shard.shape
    ):
        return value
    # Every rank has read the file: none need send.
    return distribute_tensor(
        value.to(shard.device), shard.device_mesh, shard.placements, src_data_rank=None
    )
