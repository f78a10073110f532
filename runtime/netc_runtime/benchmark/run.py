"""A whole benchmark: the request is made, the model warmed up, loaded, and set beside the bare loop where asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from netc_runtime.benchmark.bare import bare_call, compare
from netc_runtime.benchmark.inputs import make_request
from netc_runtime.benchmark.load import Call, Load, run_load
from netc_runtime.benchmark.outcome import beside_values, outcome_values
from netc_runtime.session import Model

Json: TypeAlias = dict[str, Any]
Say: TypeAlias = Callable[[str, str], None]  # takes what is going on, and how far it is


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of a benchmark; `pictures` are files that are read, run and decoded in place of seeded arrays.

    `seconds` is how long the comparison with the bare loop takes, where `bare` asks for it.
    """

    load: Load
    batch: int | None = None
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    pictures: Sequence[str] = ()
    seed: int = 0
    warmup_s: float = 1.0
    bare: bool = False
    seconds: float = 10.0


def bench(model: Model, plan: Plan, say: Say) -> Json:
    """Run a benchmark and give its outcome as JSON values; Ctrl-C ends it early, once there are figures.

    Raises: EnvironmentFault R404 where the plan does not suit the model; whatever a first request raises.
    """
    call, given, rows, bare = _requests(model, plan)
    say("the first request", "")
    call(0)
    if plan.warmup_s:
        say(f"warming up for {plan.warmup_s:g} s", "")
        warm = run_load(call, Load(plan.load.concurrency, seconds=plan.warmup_s))
        if warm.interrupted:
            raise KeyboardInterrupt
    measuring = f"measuring {_until(plan.load)}"
    say(measuring, "")
    measured = run_load(call, plan.load, lambda gone, done: say(measuring, f"{gone:.1f} s, {done:,} answered"))
    values = outcome_values(model.report(), given, rows, plan.load, plan.warmup_s, measured)
    if bare is not None and not measured.interrupted and not measured.errors:
        bare_loop, at_once = "beside the bare loop", plan.load.concurrency
        say(bare_loop, "")
        beside = compare(call, bare(), at_once, plan.seconds, lambda done, of: say(bare_loop, f"pair {done} of {of}"))
        values["bare"] = beside_values(beside)
        values["interrupted"] = beside.interrupted
    return values


def _requests(model: Model, plan: Plan) -> tuple[Call, Json, int, Callable[[], Call] | None]:
    """Give a plan's call, what it holds, its rows, and what opens the bare loop's where the plan asks for one."""
    if plan.pictures:
        batch = plan.batch or 1
        return (
            lambda number: model.predict_images(_turn(plan.pictures, number * batch, batch)),
            {"source": "images", "pictures": len(plan.pictures), "batch": batch},
            batch,
            None,
        )
    request = make_request(model, plan.batch, plan.sizes, plan.seed)
    shapes = {name: list(array.shape) for name, array in request.feed.items()}
    return (
        lambda number: model.predict(request.feed),
        {"source": "random", "seed": plan.seed, "batch": request.rows, "shapes": shapes},
        request.rows,
        (lambda: bare_call(model, request)) if plan.bare else None,
    )


def _turn(pictures: Sequence[str], start: int, count: int) -> list[str]:
    """Give so many pictures from a place on, from the first again after the last."""
    return [pictures[(start + place) % len(pictures)] for place in range(count)]


def _until(load: Load) -> str:
    ends = [f"{load.seconds:g} s"] if load.seconds is not None else []
    ends += [f"{load.requests:,} requests"] if load.requests is not None else []
    return " or ".join(ends)
