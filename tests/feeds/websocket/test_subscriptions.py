"""What was asked for on a connection: every instrument is subscribed, refused or overdue."""

from hypothesis import given
from hypothesis import strategies as st

from candlewax.exchanges.protocol.websocket import ControlMessage, Kind
from candlewax.feeds.websocket.subscriptions import Subscriptions


def made(natives: list[str], chunk: int = 2, *, whole: bool = False, in_turn: bool = False):  # type: ignore[no-untyped-def] # noqa: ANN201
    return Subscriptions(natives, chunk, rejects_whole_message=whole, replies_in_order=in_turn)


def asked(requests: Subscriptions) -> list[tuple[tuple[str, ...], int]]:
    """All messages that are to be sent now."""
    found = []
    while following := requests.next_request():
        found.append((tuple(following[0]), following[1]))
    return found


def test_instruments_are_asked_for_in_chunks() -> None:
    """No message holds more than a chunk, each has its own number."""
    requests = made(["A", "B", "C"])
    assert asked(requests) == [(("A", "B"), 1), (("C",), 2)]
    assert not requests.is_done


def test_an_answer_with_a_number_answers_its_message() -> None:
    """All instruments of a message are subscribed at once."""
    requests = made(["A", "B", "C"])
    asked(requests)
    requests.apply_answer(ControlMessage(Kind.ACK, 1))
    requests.apply_answer(ControlMessage(Kind.ACK, 9))
    assert not requests.is_done
    requests.apply_answer(ControlMessage(Kind.ACK, 2))
    assert (requests.is_done, requests.subscribed) == (True, ["A", "B", "C"])


def test_an_answer_with_names_answers_these() -> None:
    """Where each instrument is answered by itself, all have to be."""
    requests = made(["A", "B", "C"])
    asked(requests)
    requests.apply_answer(ControlMessage(Kind.ACK, 1, ("A",)))
    requests.apply_answer(ControlMessage(Kind.REFUSAL, 1, ("B",), "no"))
    assert not requests.is_done
    requests.apply_answer(ControlMessage(Kind.ACK, 2, ("C",)))
    assert (requests.is_done, requests.subscribed) == (True, ["A", "C"])
    assert requests.refused == {"B": "no"}


def test_what_was_refused_along_with_another_is_asked_for_again() -> None:
    """Where a message is refused as a whole, the good ones get another one."""
    requests = made(["A", "B", "C"], 3, whole=True, in_turn=True)
    asked(requests)
    assert requests.apply_answer(ControlMessage(Kind.REFUSAL, None, ("B",), "no")) == ["B"]
    assert asked(requests) == [(("A", "C"), 2)]
    requests.apply_answer(ControlMessage(Kind.ACK, None, ("C", "A")))
    assert (requests.is_done, requests.subscribed) == (True, ["A", "C"])


def test_a_refusal_without_names_is_about_the_oldest_message() -> None:
    """Where answers come in turn, a nameless one means the first; it is taken apart."""
    requests = made(["A", "B", "C"], whole=True, in_turn=True)
    asked(requests)
    assert requests.apply_answer(ControlMessage(Kind.REFUSAL, reason="no")) == []
    assert asked(requests) == [(("A",), 3), (("B",), 4)]
    requests.apply_answer(ControlMessage(Kind.ACK, None, ("C",)))
    assert requests.apply_answer(ControlMessage(Kind.REFUSAL, reason="no")) == ["A"]
    requests.apply_answer(ControlMessage(Kind.ACK, None, ("C", "B")))
    assert (requests.is_done, requests.subscribed) == (True, ["B", "C"])


def test_a_refusal_of_nothing_known_changes_nothing() -> None:
    """An error that is about none of the messages leaves them waiting."""
    requests = made(["A"])
    asked(requests)
    assert requests.apply_answer(ControlMessage(Kind.REFUSAL, reason="too many messages")) == []
    assert requests.apply_answer(ControlMessage(Kind.REFUSAL, 9, ("Z",), "no")) == []
    assert requests.apply_answer(ControlMessage(Kind.OTHER)) == []
    assert not requests.is_done


def test_only_what_was_sent_can_be_overdue() -> None:
    """An answer is due some time after its message, and not after it came."""
    requests = made(["A", "B", "C"])
    asked(requests)
    assert requests.overdue(1e9) == []
    requests.set_deadline(1, 5)
    requests.set_deadline(9, 0)
    assert requests.overdue(4) == []
    assert requests.overdue(5) == ["A", "B"]
    requests.apply_answer(ControlMessage(Kind.ACK, 1, ("A",)))
    assert requests.overdue(5) == ["B"]


@given(st.sets(st.sampled_from("ABCDEFGHIJ")), st.integers(1, 4), st.booleans(), st.booleans())
def test_every_instrument_is_settled(
    bad: set[str], chunk: int, by_name: bool, nameless: bool
) -> None:
    """Whatever is refused, and however, the rest is subscribed, and nothing else is lost."""
    natives = list("ABCDEFGHIJ")
    requests = made(natives, chunk, whole=True, in_turn=nameless)
    sent = 0
    while following := requests.next_request():
        sent += 1
        assert sent < 100
        instruments, number = following
        wrong = [name for name in instruments if name in bad]
        answered = None if nameless else number
        if wrong:
            names = (wrong[0],) if by_name else ()
            requests.apply_answer(ControlMessage(Kind.REFUSAL, answered, names, "no"))
        else:
            names = tuple(instruments) if nameless else ()
            requests.apply_answer(ControlMessage(Kind.ACK, number, names))
    assert requests.is_done
    assert set(requests.subscribed) == set(natives) - bad
    assert set(requests.refused) == bad
