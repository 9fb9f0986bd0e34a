"""Subscriptions of a connection: every symbol becomes subscribed, refused or overdue."""

from hypothesis import given
from hypothesis import strategies as st

from candlewax.exchanges.protocol.websocket import ControlMessage, Kind
from candlewax.feeds.websocket.subscriptions import Subscriptions


def make_subscriptions(
    natives: list[str],
    chunk: int = 2,
    *,
    rejects_whole_message: bool = False,
    replies_in_order: bool = False,
) -> Subscriptions:
    return Subscriptions(
        natives,
        chunk,
        rejects_whole_message=rejects_whole_message,
        replies_in_order=replies_in_order,
    )


def next_requests(subscriptions: Subscriptions) -> list[tuple[tuple[str, ...], int]]:
    """All messages that are to be sent now."""
    messages = []
    while request := subscriptions.next_request():
        messages.append((tuple(request[0]), request[1]))
    return messages


def test_symbols_are_requested_in_chunks() -> None:
    """Each message has a number of its own."""
    subscriptions = make_subscriptions(["A", "B", "C"])
    assert next_requests(subscriptions) == [(("A", "B"), 1), (("C",), 2)]
    assert not subscriptions.is_done


def test_ack_with_a_number_subscribes_all_symbols_of_its_message() -> None:
    subscriptions = make_subscriptions(["A", "B", "C"])
    next_requests(subscriptions)
    subscriptions.apply_answer(ControlMessage(Kind.ACK, 1))
    subscriptions.apply_answer(ControlMessage(Kind.ACK, 9))
    assert not subscriptions.is_done
    subscriptions.apply_answer(ControlMessage(Kind.ACK, 2))
    assert (subscriptions.is_done, subscriptions.subscribed) == (True, ["A", "B", "C"])


def test_answer_with_names_applies_to_these_symbols_only() -> None:
    subscriptions = make_subscriptions(["A", "B", "C"])
    next_requests(subscriptions)
    subscriptions.apply_answer(ControlMessage(Kind.ACK, 1, ("A",)))
    subscriptions.apply_answer(ControlMessage(Kind.REFUSAL, 1, ("B",), "no"))
    assert not subscriptions.is_done
    subscriptions.apply_answer(ControlMessage(Kind.ACK, 2, ("C",)))
    assert (subscriptions.is_done, subscriptions.subscribed) == (True, ["A", "C"])
    assert subscriptions.refused == {"B": "no"}


def test_symbols_refused_with_another_one_are_requested_again() -> None:
    """If the exchange refuses whole messages."""
    subscriptions = make_subscriptions(
        ["A", "B", "C"], 3, rejects_whole_message=True, replies_in_order=True
    )
    next_requests(subscriptions)
    assert subscriptions.apply_answer(ControlMessage(Kind.REFUSAL, None, ("B",), "no")) == ["B"]
    assert next_requests(subscriptions) == [(("A", "C"), 2)]
    subscriptions.apply_answer(ControlMessage(Kind.ACK, None, ("C", "A")))
    assert (subscriptions.is_done, subscriptions.subscribed) == (True, ["A", "C"])


def test_refusal_without_names_applies_to_the_oldest_message() -> None:
    """If answers come in order. The message is split into single symbols."""
    subscriptions = make_subscriptions(
        ["A", "B", "C"], rejects_whole_message=True, replies_in_order=True
    )
    next_requests(subscriptions)
    assert subscriptions.apply_answer(ControlMessage(Kind.REFUSAL, reason="no")) == []
    assert next_requests(subscriptions) == [(("A",), 3), (("B",), 4)]
    subscriptions.apply_answer(ControlMessage(Kind.ACK, None, ("C",)))
    assert subscriptions.apply_answer(ControlMessage(Kind.REFUSAL, reason="no")) == ["A"]
    subscriptions.apply_answer(ControlMessage(Kind.ACK, None, ("C", "B")))
    assert (subscriptions.is_done, subscriptions.subscribed) == (True, ["B", "C"])


def test_refusal_of_an_unknown_message_changes_nothing() -> None:
    subscriptions = make_subscriptions(["A"])
    next_requests(subscriptions)
    assert (
        subscriptions.apply_answer(ControlMessage(Kind.REFUSAL, reason="too many messages")) == []
    )
    assert subscriptions.apply_answer(ControlMessage(Kind.REFUSAL, 9, ("Z",), "no")) == []
    assert subscriptions.apply_answer(ControlMessage(Kind.OTHER)) == []
    assert not subscriptions.is_done


def test_symbol_is_overdue_only_after_its_message_was_sent() -> None:
    """And no more once it is answered."""
    subscriptions = make_subscriptions(["A", "B", "C"])
    next_requests(subscriptions)
    assert subscriptions.overdue(1e9) == []
    subscriptions.set_deadline(1, 5)
    subscriptions.set_deadline(9, 0)
    assert subscriptions.overdue(4) == []
    assert subscriptions.overdue(5) == ["A", "B"]
    subscriptions.apply_answer(ControlMessage(Kind.ACK, 1, ("A",)))
    assert subscriptions.overdue(5) == ["B"]


@given(st.sets(st.sampled_from("ABCDEFGHIJ")), st.integers(1, 4), st.booleans(), st.booleans())
def test_every_symbol_is_subscribed_or_refused_for_any_refusals(
    refused: set[str], chunk: int, names_symbol: bool, replies_in_order: bool
) -> None:
    natives = list("ABCDEFGHIJ")
    subscriptions = make_subscriptions(
        natives, chunk, rejects_whole_message=True, replies_in_order=replies_in_order
    )
    sent = 0
    while request := subscriptions.next_request():
        sent += 1
        assert sent < 100
        instruments, number = request
        refused_here = [name for name in instruments if name in refused]
        reply_to = None if replies_in_order else number
        if refused_here:
            names: tuple[str, ...] = (refused_here[0],) if names_symbol else ()
            subscriptions.apply_answer(ControlMessage(Kind.REFUSAL, reply_to, names, "no"))
        else:
            names = tuple(instruments) if replies_in_order else ()
            subscriptions.apply_answer(ControlMessage(Kind.ACK, number, names))
    assert subscriptions.is_done
    assert set(subscriptions.subscribed) == set(natives) - refused
    assert set(subscriptions.refused) == refused
