"""Several SimpleCNNs trained in one step, each by its own configuration, for `benchmarks.fused`.

Each member has its own initial weights, image order, augmentation, mixing, learning rate, schedule, momentum, weight
decay and label smoothing, drawn as the engine draws them, so that its losses equal those of `fit` up to rounding. All
members share the architecture, the batch size and the number of steps, and take each step together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Generator, Tensor, nn

from benchmarks.fused.networks import Forward
from tune.training import augment, evaluate, loop, mixing
from tune.training.config import TrainConfig
from tune.training.image_size import preprocessing_of
from tune.training.images import ImageSet
from tune.training.model import build_model, build_schedule
from tune.training.optimizers import SGD

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Images (M, B, 32, 32, 3), labels, partners' labels and shares (M, B)."""

Take = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Takes a step on a batch -> each member's loss (M,) and predicted classes (M, B)."""


class Group:
    """The members' weights, stacked along a first dimension, and what a step needs."""

    def __init__(
        self,
        configs: Sequence[TrainConfig],
        data: ImageSet,
        forward_of: Callable[[nn.Module], Forward],
        captured: Callable[[Take], Take] | None = None,
    ) -> None:
        """`captured` wraps a step into one that replays a CUDA graph."""
        _check(configs)
        self.configs = list(configs)
        self._data, self._device = data, data.pixels.device
        self._batch_size = configs[0].batch_size
        models = [build_model(config, self._device) for config in configs]
        self._forward, self._captured = forward_of(models[0]), captured
        # torch.func.stack_module_state will not do: each `build` defines a new class, which it refuses.
        states = [model.state_dict() for model in models]
        stacked = {name: _laid_out(torch.stack([each[name] for each in states])) for name in states[0]}
        self.weights = {name: each.requires_grad_() for name, each in stacked.items()}
        self._momenta = {name: torch.zeros_like(each) for name, each in stacked.items()}
        steps = len(data) // self._batch_size
        self._rates = torch.stack([rates(config, steps) for config in configs], 1).to(self._device)  # (steps, M)
        self._epochs = self._steps = 0
        self._settle()

    def epoch(self) -> tuple[Tensor, Tensor]:
        """One pass over the images -> losses (steps, M), training accuracies (%) (M,)."""
        self._epochs += 1
        losses, hits = [], []
        for images, labels, partner, share in self._batches():
            self._rate.copy_(self._rates[self._steps])
            self._steps += 1
            loss, guess = self._take(images, labels, partner, share)
            losses.append(loss)
            hits.append((guess, labels, partner, share))
        guess, labels, partner, share = (torch.cat(parts, 1) for parts in zip(*hits, strict=True))
        correct = share * (guess == labels) + (1 - share) * (guess == partner)
        return torch.stack(losses), 100 * correct.double().mean(1)

    def keep(self, members: Sequence[int]) -> None:
        """Drops all other members. Those kept continue as if nothing had happened."""
        rows = torch.tensor(members, device=self._device)
        self.configs = [self.configs[member] for member in members]
        self.weights = {name: _laid_out(each.detach()[rows]).requires_grad_() for name, each in self.weights.items()}
        self._momenta = {name: _laid_out(each[rows]) for name, each in self._momenta.items()}
        self._rates = self._rates[:, rows]
        self._settle()

    def _settle(self) -> None:
        """Sets up what depends on the present members."""

        def each(values: list[float]) -> Tensor:
            return torch.tensor(values, device=self._device)

        self._momentum = each([config.momentum for config in self.configs])
        self._decay = each([config.weight_decay for config in self.configs])
        self._nesterov = each([float(config.nesterov) for config in self.configs])
        self._smoothing = each([config.label_smoothing for config in self.configs])
        self._rate = self._rates[0].clone()
        self._take: Take = self._step if self._captured is None else self._captured(self._step)

    def _batches(self) -> Iterator[Batch]:
        """The members' batches, step by step, augmented several steps at a time as in `batches.shuffled`."""
        drawn = [
            _drawn(self._data, config, loop._seed(config.seed, self._epochs, self._device)) for config in self.configs
        ]
        for parts in zip(*drawn, strict=True):
            yield from zip(*(torch.stack(part, 1).unbind() for part in zip(*parts, strict=True)), strict=True)

    def _step(self, images: Tensor, labels: Tensor, partner: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        with evaluate.mixed_precision(self._device):
            out = self._forward(self.weights, images)
        logarithm = out.float().log_softmax(2)
        own, other = (-logarithm.gather(2, each[..., None])[..., 0] for each in (labels, partner))
        smooth = self._smoothing[:, None]
        loss = ((1 - smooth) * (share * own + (1 - share) * other) - smooth * logarithm.mean(2)).mean(1)
        # In the gradient of the sum, members do not mix: no weight takes part in another member's loss.
        gradients = torch.autograd.grad(loss.sum(), list(self.weights.values()))
        update = self._update_on_cpu if self._device.type == "cpu" else self._update
        with torch.no_grad():
            update(gradients)
        return loss.detach(), out.detach().argmax(2)

    def _update(self, gradients: Sequence[Tensor]) -> None:
        """torch's SGD with per-member learning rate, momentum and weight decay, all read on the device."""
        for (name, weight), gradient in zip(self.weights.items(), gradients, strict=True):
            rate, momentum, decay, nesterov = (
                each.view(-1, *[1] * (weight.dim() - 1))
                for each in (self._rate, self._momentum, self._decay, self._nesterov)
            )
            gradient = torch.addcmul(gradient, decay, weight)
            buffer = self._momenta[name].mul_(momentum).add_(gradient)
            weight.addcmul_(rate, torch.lerp(buffer, torch.addcmul(gradient, momentum, buffer), nesterov), value=-1)

    def _update_on_cpu(self, gradients: Sequence[Tensor]) -> None:
        """The same with the engine's kernel, once per member: it reads memory once, `_update` six times."""
        gradients = [_laid_out(each) for each in gradients]  # laid out like the weights, as the kernel ignores strides
        for member, (config, rate) in enumerate(zip(self.configs, self._rate.tolist(), strict=True)):
            weights, own, momenta = (
                [_flat(each[member]) for each in stacked]
                for stacked in (self.weights.values(), gradients, self._momenta.values())
            )
            torch._fused_sgd_(
                weights,
                own,
                momenta if config.momentum else [],
                lr=rate,
                momentum=config.momentum,
                weight_decay=config.weight_decay,
                nesterov=config.nesterov,
                dampening=0.0,
                maximize=False,
                is_first_step=False,
            )


def _laid_out(stacked: Tensor) -> Tensor:
    """The same tensor with each member contiguous in memory, linear layers transposed, (M, in, out).

    That is the layout in which the matrix product leaves their gradient. Transposing fc1's million weights per member
    in each step would take longer than everything else at batch size 8.
    """
    return stacked.transpose(1, 2).contiguous().transpose(1, 2) if stacked.dim() == 3 else stacked.contiguous()


def _flat(one: Tensor) -> Tensor:
    """One member of a tensor from `_laid_out`, viewed in memory order; otherwise the kernel would copy it."""
    return one.t() if one.dim() == 2 else one


def rates(config: TrainConfig, steps_per_epoch: int) -> Tensor:
    """The learning rate of each step, float32 (steps,), from a dry run of the engine's schedule."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=config.lr)
    schedule = build_schedule(optimizer, config, steps_per_epoch)
    found = []
    for _ in range(config.epochs * steps_per_epoch):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()  # does nothing without gradients, but schedules warn if it was never called
        schedule.step()
    return torch.tensor(found)


def _drawn(data: ImageSet, config: TrainConfig, generator: Generator) -> Iterator[Batch]:
    """A member's batches, several steps at once, (steps, B, ...), drawn as by `batches.shuffled` and `mixing.mix`."""
    preprocessing, size, device = preprocessing_of(config), config.batch_size, data.pixels.device
    steps = len(data) // size
    order = data.index[torch.randperm(len(data), generator=generator, device=device)][: steps * size]
    at_once = max(1, evaluate.batch_size_at(preprocessing.image_size, device) // size)
    for rows in torch.split(order, at_once * size):
        images = augment.training_batch(data.pixels[rows], config, preprocessing, generator)
        labels = data.labels[rows]
        if config.mixup or config.cutmix:
            parts = zip(torch.split(images, size), torch.split(labels, size), strict=True)
            mixed = [mixing.mix(some, own, config, generator) for some, own in parts]
            images, partner, share = (torch.cat(part) for part in zip(*mixed, strict=True))
        else:
            images, partner, share = mixing.mix(images, labels, config, generator)
        channels_last = images.permute(0, 2, 3, 1)
        pixels, *others = (each.reshape(-1, size, *each.shape[1:]) for each in (channels_last, labels, partner, share))
        yield pixels, others[0], others[1], others[2]


def _check(configs: Sequence[TrainConfig]) -> None:
    """ValueError if these cannot be trained together."""
    for name in ("model", "batch_size", "epochs"):
        if len({getattr(config, name) for config in configs}) > 1:
            raise ValueError(f"The members of a group must have the same {name}.")
    if any(config.optimizer != "sgd" or config.dropout or config.freeze_epochs for config in configs):
        raise ValueError("Members must use SGD, without dropout or frozen layers; the benchmark needs no more.")
