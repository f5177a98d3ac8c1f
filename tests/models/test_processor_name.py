"""What reports call the device that trained a model."""

import torch

from rosetta.models.devices import CPU, processor_name


def test_a_processor_is_named_with_the_instructions_that_torch_uses():
    name = processor_name(CPU)
    assert name.endswith(f"({torch.backends.cpu.get_cpu_capability()})")
    assert len(name) > len("()") + len(torch.backends.cpu.get_cpu_capability())
