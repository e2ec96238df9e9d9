"""The cases of several servers of one directory: a replica that lags takes nothing back, and the first one is gone back to (R4)."""

import slapd
from ldap_cases import case
from slapd import user, user_dn


def copied(place, source, copy):
    """Gives a replica all that its source has; neither runs meanwhile."""
    dumps = source.dump()
    copy.stop()
    copy.empty()
    copy.restore(dumps)
    copy.start()


def two_servers(place):
    """Two servers of the same content, and a mail server that follows the first."""
    first = place.slapd_with()
    first.stop()
    second = place.another_slapd(slapd.tree())
    copied(place, first, second)
    first.start()
    place.wasmta_with('full-every = "1 d"', servers=[first.url, second.url])
    place.follows()
    return first, second


def changed(place, first):
    """What the second server does not learn of."""
    first.delete(user_dn("u9"))
    first.add(user("n1"))
    first.modify(user_dn("u8"), "replace: mail\nmail: u8new@d0.test")
    place.until(lambda: place.known("n1@d0.test") and place.rcpt("u8new@d0.test") == 250, "the changes")
    place.until(lambda: place.rcpt("u9@d0.test") == 550, "who is gone")


def states(place):
    """How the subtree is followed that the users are in: others, which nobody changes, may be followed elsewhere."""
    return [one["state"] for one in place.status()["followers"] if one["base"] == "o=isp"]


def followed(place):
    """The servers that are followed; with none for a base that is not."""
    return {state.removeprefix("following ") if state.startswith("following ") else None for state in states(place)}


def nothing_is_taken_back(place):
    for _ in range(3):
        for address in ("n1@d0.test", "u8new@d0.test", "u1@d0.test"):
            assert place.rcpt(address) == 250, address
        # It may be one that the second server has not been told of.
        assert place.rcpt("nobody@d0.test") == 451


@case("a replica that lags takes nothing back, and what it does not have is not refused for good")
def lagging(place):
    first, second = two_servers(place)
    changed(place, first)
    first.stop()
    place.until(lambda: any("lags behind" in state for state in states(place)), "that it lags", seconds=30)
    nothing_is_taken_back(place)
    # A full sync by it is believed as little, over a restart too.
    refused = place.sync("full", check=False)
    assert refused.returncode != 0 and "may lag behind" in refused.stderr, refused
    place.server.stop()
    place.server.start()
    place.until(lambda: any("lags behind" in state for state in states(place)), "that it lags", seconds=30)
    nothing_is_taken_back(place)
    # What it has and we have not is taken in.
    second.add(user("n2"))
    assert place.rcpt("n2@d0.test") == 250
    # Once it has caught up it is followed.
    copied(place, first, second)
    place.until(lambda: followed(place) == {second.url}, "that it is followed", seconds=90)
    second.add(user("n3"))
    place.until(lambda: place.known("n3@d0.test"), "what it tells of")
    assert place.rcpt("n1@d0.test") == 250 and place.rcpt("nobody@d0.test") == 550


@case("a replica that lags is believed where the operator says so")
def vouched_for(place):
    first, second = two_servers(place)
    changed(place, first)
    first.stop()
    place.until(lambda: any("lags behind" in state for state in states(place)), "that it lags", seconds=30)
    place.sync("full", "--force")
    place.until(lambda: followed(place) == {second.url}, "that it is followed", seconds=90)
    assert place.rcpt("n1@d0.test") == 550 and place.rcpt("u8new@d0.test") == 550
    assert place.rcpt("u8@d0.test") == 250 and place.rcpt("u9@d0.test") == 250
    second.add(user("n3"))
    place.until(lambda: place.known("n3@d0.test"), "what it tells of")


@case("the first server is followed again when it is back and knows as much")
def gone_back_to(place):
    first, second = two_servers(place)
    first.stop()
    place.until(lambda: followed(place) == {second.url}, "the second one", seconds=30)
    second.add(user("n1"))
    place.until(lambda: place.known("n1@d0.test"), "what the second one tells of")
    # It is back without what it missed: the second one stays.
    first.start()
    place.until(lambda: "lags behind" in place.log(), "that it lags", seconds=40)
    place.until(lambda: followed(place) == {second.url}, "the second one again", seconds=40)
    assert place.rcpt("n1@d0.test") == 250
    # What nobody changed is followed at the first one again: each subtree is compared with the server that is followed there.
    place.until(lambda: f"following {first.url}" in str(place.status()["followers"]), "the other subtree", seconds=40)
    assert place.sync("full")["removed"] == 0 and place.rcpt("n1@d0.test") == 250
    second.stop()
    copied(place, second, first)
    second.start()
    place.until(lambda: followed(place) == {first.url}, "the first one", seconds=120)
    first.add(user("n2"))
    place.until(lambda: place.known("n2@d0.test"), "what the first one tells of")
    assert place.rcpt("n1@d0.test") == 250 and place.rcpt("nobody@d0.test") == 550


@case("of two servers that both write nothing is missed after a failover and back")
def both_write(place):
    first, second = place.slapd_with(), place.another_slapd(slapd.tree())
    for server in (first, second):
        server.stop()
        server.empty()
    first.writes, second.writes = (1, second.url), (2, first.url)
    first.load(slapd.tree())
    second.configure()
    first.start()
    second.start()
    there = lambda server, uid: server.search(user_dn(uid), "base").returncode == 0  # noqa: E731
    place.until(lambda: there(second, "u9"), "the second one has everything", seconds=30)
    place.wasmta_with('full-every = "1 d"', servers=[first.url, second.url])
    place.follows()
    # What the one says of how far it has come is not the end of what the other wrote.
    second.add(user("b1"))
    place.until(lambda: place.known("b1@d0.test"), "what the second one wrote")
    first.add(user("a1"))
    place.until(lambda: place.known("a1@d0.test") and there(second, "a1"), "what the first one wrote")
    first.stop()
    place.until(lambda: followed(place) == {second.url}, "the second one", seconds=30)
    second.add(user("b2"))
    place.until(lambda: place.known("b2@d0.test"), "what the second one wrote alone")
    first.start()
    place.until(lambda: there(first, "b2"), "the first one has caught up", seconds=30)
    place.until(lambda: followed(place) == {first.url}, "the first one", seconds=120)
    # Each is told by the first one, whoever wrote it.
    second.add(user("b3"))
    second.delete(user_dn("u5"))
    first.add(user("a3"))
    for uid in ("b3", "a3"):
        place.until(lambda uid=uid: place.known(f"{uid}@d0.test"), uid)
    place.until(lambda: place.rcpt("u5@d0.test") == 550, "who is gone")
    for uid in ("a1", "b1", "b2", "u1"):
        assert place.rcpt(f"{uid}@d0.test") == 250, uid
    # The second one misses something, and says nothing of it to a cookie.
    second.stop()
    first.add(user("a4"))
    place.until(lambda: place.known("a4@d0.test"), "a4")
    first.stop()
    second.start()
    place.until(lambda: any("lags behind" in state for state in states(place)), "that it lags", seconds=60)
    assert place.rcpt("a4@d0.test") == 250 and place.rcpt("nobody@d0.test") == 451
    assert "may lag behind" in place.sync("full", check=False).stderr
    first.start()
    place.until(lambda: there(second, "a4"), "the second one has caught up", seconds=30)
    place.until(lambda: None not in followed(place), "one of them", seconds=90)
    assert place.rcpt("a4@d0.test") == 250


def consumer(place):
    """A consumer that is followed and refers writers to its provider, which is the first of both."""
    first = place.slapd_with()
    first.stop()
    second = place.another_slapd(slapd.tree())
    second.stop()
    second.refers = first.url
    second.configure()
    dumps = first.dump()
    second.empty()
    second.restore(dumps)
    first.start()
    second.start()
    place.wasmta_with('full-every = "1 d"\nreferrals = "follow"', servers=[second.url, first.url])
    place.follows()
    assert followed(place) == {second.url}
    return first, second


@case("a consumer that refers writers elsewhere takes nothing of that back before it has it")
def written_elsewhere(place):
    first, second = consumer(place)
    place.server.command("user", "add", "c9@d0.test", "--password", "first word")
    place.server.command("user", "remove", "u9@d0.test")
    for _ in range(2):
        refused = place.sync("full", check=False)
        assert refused.returncode != 0 and "has yet to take in what was written" in refused.stderr, refused
        assert place.rcpt("c9@d0.test") == 250 and place.may_log_in("c9@d0.test", "first word")
        # A look-up shows the one who was removed, and the one who was never there is not known yet.
        assert place.rcpt("u9@d0.test") == 451 and place.rcpt("nobody@d0.test") == 451
        place.sync("incremental", check=False)
    first.stop()
    copied(place, first, second)
    first.start()
    place.until(lambda: place.sync("full", check=False, seconds_max=30) and place.rcpt("nobody@d0.test") == 550, "it has caught up", 60)
    assert place.rcpt("c9@d0.test") == 250 and place.rcpt("u9@d0.test") == 550


@case("what was written elsewhere and is lost there counts no more where the operator says so")
def written_and_lost(place):
    first, _ = consumer(place)
    place.server.command("user", "add", "c9@d0.test", "--password", "first word")
    first.stop()
    assert "has yet to take in" in place.sync("full", check=False).stderr
    assert place.rcpt("c9@d0.test") == 250 and place.rcpt("nobody@d0.test") == 451
    assert place.sync("full", "--force")["removed"] == 1
    place.until(lambda: place.rcpt("nobody@d0.test") == 550 and place.rcpt("c9@d0.test") == 550, "nobody waits for it")
    assert place.sync("full")["removed"] == 0
