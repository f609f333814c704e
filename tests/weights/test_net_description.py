import pytest
from peer_family import PEERS, SOFTMAX
from peer_layout import C2D, MMDETECTION, Peer, random_state

from gcvideo.weights import NetChoice, WeightsError, convert


def test_the_pairwise_function_of_non_local_blocks_must_be_told():
    for name in ("pyslowfast slow nl", "mmaction2 slowonly nl", "caffe2 i3d nl"):
        with pytest.raises(WeightsError, match=r"do not tell the pairwise .* give non_local_kind:"):
            convert(random_state(PEERS[name][0]))


def with_changed(state, pattern, change):
    return {key: change(value) if pattern in key else value for key, value in state.items()}


def test_blocks_that_are_not_all_alike_are_refused():
    state = random_state(PEERS["mmaction2 i3d nl gaussian"][0])
    one = random_state(PEERS["mmaction2 i3d nl embedded"][0])
    mixed = state | {key: one[key] for key in one if ".1.non_local_block." in key}
    with pytest.raises(WeightsError, match=r"not non-local or context blocks all of one kind"):
        convert(mixed, NetChoice(**SOFTMAX))


def test_another_number_of_inner_channels_is_refused():
    state = random_state(PEERS["mmaction2 slowonly nl"][0])
    fewer = with_changed(state, "layer2.0.non_local_block.g.", lambda tensor: tensor[:8])
    with pytest.raises(
        WeightsError, match=r"block res3\.0 has 8 inner channels of 32; .* half of the channels"
    ):
        convert(fewer, NetChoice(**SOFTMAX))


def test_a_context_block_without_its_transform_is_refused():
    blocks = {4: (1,)}
    state = random_state(Peer(names=MMDETECTION, kernels=C2D, flat=True, inserted=blocks))
    cut = {key: value for key, value in state.items() if "channel_add_conv.3" not in key}
    with pytest.raises(WeightsError, match=r"context block res4\.1 lacks its transform; .*incompl"):
        convert(cut)
