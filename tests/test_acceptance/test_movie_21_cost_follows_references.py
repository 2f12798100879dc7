import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.layout_networks import make_inputs, make_refs, run, small_net


def test_movie_21_cost_follows_references():
    """max_refs 50 with 3 valid refs costs about the same as max_refs 3."""
    net, inputs = small_net(awake=True, modulation=dict(text=True, single_blocks=True)), make_inputs()
    few = make_refs((3, 3, 3))
    columns = torch.stack([torch.randperm(50)[:3].sort().values for _ in range(3)])           # (3, 3)
    many = {}
    for name, value in few.items():
        many[name] = value.new_zeros(3, 50, *value.shape[2:])
        many[name][torch.arange(3)[:, None], columns] = value

    def cost(refs):
        with FlopCounterMode(display=False) as counter:
            velocity = run(net, refs, inputs)
            velocity.square().mean().backward()
        condition = net.prepare(refs, inputs['grid'])
        boxes = condition.boxes
        kept = [condition.tokens, condition.layout, condition.shared, boxes.owned, boxes.set_shares, boxes.rows]
        return counter.get_total_flops(), [tuple(tensor.shape) for tensor in kept], velocity.detach()

    few_cost, many_cost, full_cost = cost(few), cost(many), cost(make_refs((50, 50, 50)))
    assert few_cost[:2] == many_cost[:2] and torch.equal(few_cost[2], many_cost[2])
    assert full_cost[0] > 1.3 * few_cost[0]
