"""Training curves against the rows they are drawn from."""

from reasonmaxxer.measure.metrics import Estimate
from reasonmaxxer.report import figures

HISTORY = [
    {"gate": 0, "step": 1, "kl": 0.0, "delta_logprob_positive": None, "delta_logprob_negative": -0.1},
    {"gate": 0, "step": 2, "kl": 0.3, "delta_logprob_positive": 0.2, "delta_logprob_negative": -0.4},
    {"gate": 1, "step": 1, "kl": 0.5, "delta_logprob_positive": 0.6, "delta_logprob_negative": -0.7},
]


def lines(figure):
    [axes] = figure.axes
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}


def test_both_sides_of_the_chosen_gate_by_step():
    drawn = lines(figures.delta_logprob(HISTORY, gate=0, step=2))
    assert drawn["right rollouts"] == ([2], [0.2])  # no right rollout in step 1
    assert drawn["wrong rollouts"] == ([1, 2], [-0.1, -0.4])
    assert drawn["_chosen checkpoint"][0] == [2, 2]


def test_other_gates_are_behind_and_unnamed():
    [axes] = figures.metric(HISTORY, "kl", "KL, nats", gate=0, step=2).axes
    other, chosen, _ = axes.lines
    assert (list(other.get_xdata()), list(other.get_ydata())) == ([1], [0.5])
    assert (list(chosen.get_xdata()), list(chosen.get_ydata())) == ([1, 2], [0.0, 0.3])
    assert other.get_color() != chosen.get_color()


def test_validation_draws_each_gate_with_intervals():
    tried = {
        (0, 2): Estimate(value=0.5, low=0.4, high=0.7, n=50),
        (1, 2): Estimate(value=0.6, low=0.5, high=0.8, n=50),
    }
    [axes] = figures.validation(tried, ["low", "high"], gate=1, step=2).axes
    found = {c.get_label(): c for c in axes.containers}
    line, _, (interval,) = found["high"]
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([2], [0.6])
    [[low, high]] = interval.get_segments()
    assert (round(low[1], 6), round(high[1], 6)) == (0.5, 0.8)
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["low", "high"]
