"""Predictions of the spam filter as a table for people."""

from collections.abc import Sequence

from fastdrop.uncertainty import Prediction

THRESHOLD = 0.5


def verdict(low: float, high: float) -> str:
    """Say what a 90 % interval of the probability of spam allows to say.

    Parameters
    ----------
    low, high : float
        The ends of the interval.

    Returns
    -------
    {"spam", "ham", "unsure"}
        "unsure" where the interval straddles 0.5.

    Examples
    --------
    >>> verdict(0.6, 0.9), verdict(0.1, 0.4), verdict(0.3, 0.8)
    ('spam', 'ham', 'unsure')
    """
    if low > THRESHOLD:
        return "spam"
    return "ham" if high < THRESHOLD else "unsure"


def table(messages: Sequence[str], prediction: Prediction, width: int = 100) -> str:
    """Lay out messages and what the filter says of them, a line each.

    Parameters
    ----------
    messages : sequence of str
    prediction : Prediction
        Of shape (len(messages), 1).
    width : int, optional
        Characters a line may take; messages are cut to fit.

    Returns
    -------
    str
        Message, probability of spam, standard deviation, 90 % interval, verdict.
    """
    room = max(20, width - 43)
    lines = [f"{'message':{room}}  P(spam)    std  90 % interval   verdict"]
    low, high = prediction.quantile([0.05, 0.95])[:, :, 0]
    for message, mean, std, a, b in zip(
        messages, prediction.mean[:, 0], prediction.std[:, 0], low, high, strict=True
    ):
        text = message if len(message) <= room else message[: room - 3] + "..."
        lines.append(f"{text:{room}}  {mean:7.3f}  {std:5.3f}  {a:.3f} to {b:.3f}  {verdict(a, b)}")
    return "\n".join(lines)
