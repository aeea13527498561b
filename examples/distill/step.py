"""A training step that a GPU replays."""
import torch


class Step:
    """Calls `run(*tensors)`. On a GPU the second call with tensors of one shape is captured as a
    CUDA graph, and later calls replay it: launching a step's two thousand small kernels from Python
    takes longer than they run.

    `run` must do the same each time, must not wait for the device, and must leave results in
    tensors that existed before.
    """

    def __init__(self, run, device):
        self.run, self.device = run, device
        self.seen, self.graphs, self.pool = set(), {}, None

    def __call__(self, *tensors):
        shape = tuple(tuple(tensor.shape) for tensor in tensors)
        if self.device != "cuda":
            self.run(*tensors)
        elif shape in self.graphs:
            graph, inputs = self.graphs[shape]
            for into, tensor in zip(inputs, tensors):
                into.copy_(tensor)
            graph.replay()
        elif shape in self.seen:
            self.graphs[shape] = self.capture([tensor.clone() for tensor in tensors])
            self.graphs[shape][0].replay()
        else:
            # Things that are made once, for example an optimiser's state, are made here.
            self.seen.add(shape)
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self.run(*tensors)
            torch.cuda.current_stream().wait_stream(side)

    def capture(self, inputs):
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            self.run(*inputs)
        self.pool = graph.pool()
        return graph, inputs
