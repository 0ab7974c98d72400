import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Message } from "../parser.ts";
import { isUpTo } from "../position.ts";
import { Received } from "../received.ts";
import type { Entry } from "../received.ts";

const event = (n: number): Message => ({ event: "tick", data: String(n), id: `e-${n}` });
const ephemeral = (data: string): Message => ({ event: "typing", data });
const status = (what: object, id: string): Message => ({ event: "tidings:status", data: JSON.stringify(what), id });
const fresh = status({ status: "fresh", client: "c" }, "e-10");

/** Of a tab whose stream has brought these. */
function received(...messages: Message[]): Received {
  const received = new Received("");
  for (const message of messages) received.enter(message, "a");
  return received;
}

const data = (entries: Entry[] | undefined): string[] | undefined => entries?.map(({ data }) => data);

describe("what a leader has", () => {
  test("is everything after where it began", () => {
    const leader = received(fresh, event(12), event(15));
    expect(data(leader.after("e-10"))).toEqual(["12", "15"]);
    expect(data(leader.after("e-13"))).toEqual(["15"]);
    expect(data(leader.after("e-15"))).toEqual([]);
    expect(data(leader.after("e-99"))).toEqual([]);
  });

  test("is not known before that, in another history, and for an id without a position", () => {
    const leader = received(fresh, event(12));
    for (const id of ["e-9", "f-12", "", "e"]) expect(leader.after(id)).toBeUndefined();
  });

  test("is bounded by number and size, and it knows what it has lost", () => {
    const many = received(fresh, ...Array.from({ length: 1_500 }, (_, i) => event(11 + i)));
    expect(many.after("e-509")).toBeUndefined();
    expect(many.after("e-510")).toHaveLength(1_000);
    const large = received(fresh, ...[11, 12, 13].map((n) => ({ ...event(n), data: "x".repeat(500_000) })));
    expect(large.after("e-10")).toBeUndefined();
    expect(large.after("e-11")).toHaveLength(2);
  });

  test("has events without ids in their places", () => {
    const leader = received(fresh, ephemeral("a"), event(12), ephemeral("b"));
    expect(data(leader.after("e-10"))).toEqual(["a", "12", "b"]);
    expect(data(leader.after("e-12"))).toEqual(["b"]);
    expect(data(leader.after("e-14"))).toEqual([]);
  });

  test("goes on after it has resumed, and begins anew after a reset", () => {
    const leader = received(fresh, event(12), status({ status: "resumed", client: "d" }, "e-12"), event(14));
    expect(data(leader.after("e-10"))).toEqual(["12", "14"]);
    leader.enter(status({ status: "reset", reason: "unknown", client: "d" }, "f-1"), "a");
    expect(leader.after("e-12")).toBeUndefined();
  });

  test("begins with the last event of a snapshot", () => {
    const leader = received(status({ status: "fresh", client: "c" }, "e"), ephemeral("part"));
    expect(leader.lowWatermark).toBeUndefined();
    leader.enter(event(20), "a");
    expect(leader.lowWatermark).toBe("e-20");
    expect(data(leader.after("e-20"))).toEqual([]);
  });

  describe("after a reset or an incomplete history, which may have gaps,", () => {
    beforeEach(() => { vi.useFakeTimers(); });
    afterEach(() => { vi.useRealTimers(); });

    test.each([{ status: "reset", reason: "trimmed" }, { status: "fresh", complete: false }])("begins later: %o", async (what) => {
      const leader = received(status({ ...what, client: "c" }, "e-10"), event(12));
      expect(leader.lowWatermark).toBeUndefined();
      vi.advanceTimersByTime(2_000);
      leader.enter(event(14), "a");
      expect(leader.after("e-10")).toBeUndefined();
      expect(data(leader.after("e-12"))).toEqual(["14"]);
    });
  });
});

describe("what a tab makes of what the leader passes on", () => {
  /** What a tab that has received `mine` makes of the last of `theirs`. */
  const verdict = (mine: Message[], theirs: Message[]): string => {
    const leader = received();
    const entries = theirs.map((message) => leader.enter(message, "a"));
    return received(...mine).receive(entries.at(-1) as Entry);
  };

  test.each([
    ["the next one", [fresh, event(12)], [fresh, event(12), event(14)], "next"],
    ["one that it has", [fresh, event(12), event(14)], [fresh, event(12)], "known"],
    ["the same one", [fresh, event(12)], [fresh, event(12)], "known"],
    ["one with another between", [fresh], [fresh, event(12), event(14)], "gap"],
    ["one whose predecessor is not of its topics' last events", [fresh, event(13)], [fresh, event(12), event(14)], "next"],
    ["one of another history", [fresh], [status({ status: "fresh", client: "c" }, "f-1"), { ...event(2), id: "f-2" }], "gap"],
    ["the next ephemeral event", [fresh, ephemeral("a")], [fresh, ephemeral("a"), ephemeral("b")], "next"],
    ["an ephemeral event that it has", [fresh, ephemeral("a")], [fresh, ephemeral("a")], "known"],
    ["an ephemeral event with another between", [fresh], [fresh, ephemeral("a"), ephemeral("b")], "gap"],
    ["an ephemeral event of the past", [fresh, event(12)], [fresh, ephemeral("a")], "known"],
    ["an ephemeral event after one that it lacks", [fresh], [fresh, event(12), ephemeral("a")], "gap"],
    ["a reset, wherever it is", [fresh, event(99)], [status({ status: "reset", reason: "unknown", client: "c" }, "f-1")], "next"],
    ["how a leader began", [fresh], [fresh], "known"],
    ["that a leader has resumed", [fresh], [fresh, status({ status: "resumed", client: "d" }, "e-10")], "next"],
    ["that a leader has resumed elsewhere", [fresh], [fresh, event(12), status({ status: "resumed", client: "d" }, "e-12")], "known"],
  ] satisfies [string, Message[], Message[], string][])("%s", (_, mine, theirs, expected) => {
    expect(verdict(mine, theirs)).toBe(expected);
  });

  test("ephemeral events of another stream are taken from where that is, and none twice", () => {
    const leader = received(fresh, ephemeral("before"));
    const tab = new Received("");
    for (const message of [fresh, ephemeral("both"), ephemeral("lost")]) tab.enter(message, "b");
    // It has not said yet where it is.
    expect(tab.receive(leader.enter(ephemeral("both"), "a"))).toBe("known");
    const late = received(fresh, ephemeral("before"));
    tab.followFrom(late);
    expect(tab.receive(late.enter(ephemeral("both"), "a"))).toBe("known");
    expect(tab.receive(late.enter(ephemeral("new"), "a"))).toBe("next");
    expect(tab.receive(late.enter(ephemeral("new"), "a"))).toBe("next");
    expect(tab.receive(late.enter(event(12), "a"))).toBe("next");
    expect(tab.receive(late.enter(ephemeral("lost"), "a"))).toBe("next");
  });

  describe("that is further than the leader's last event, because it began later,", () => {
    const began = (...messages: Message[]): Received => {
      const tab = new Received("");
      for (const message of messages) tab.enter(message, "b");
      return tab;
    };
    const later = status({ status: "fresh", client: "c" }, "e-20");
    const snapshot = [status({ status: "fresh", client: "c" }, "e"), ephemeral("part"), event(20)];

    test.each([["a status", [later]], ["a snapshot", snapshot]] satisfies [string, Message[]][])(
      "has the next ephemeral event, once (%s)",
      (_, mine) => {
        const leader = received(fresh);
        const tab = began(...mine);
        tab.followFrom(leader);
        const entry = leader.enter(ephemeral("x"), "a");
        expect(tab.receive(entry)).toBe("next");
        expect(tab.receive(entry)).toBe("known");
        // The leader's next one is no news here, but has others after it.
        expect(tab.receive(leader.enter(event(15), "a"))).toBe("known");
        expect(tab.receive(leader.enter(ephemeral("y"), "a"))).toBe("next");
        expect(tab.receive(leader.enter(event(24), "a"))).toBe("next");
        expect(tab.receive(leader.enter(ephemeral("z"), "a"))).toBe("next");
      },
    );

    test("does not have one twice that its own stream has brought", () => {
      const leader = received(fresh);
      const tab = began(later, ephemeral("both"));
      tab.followFrom(leader);
      expect(tab.receive(leader.enter(ephemeral("both"), "a"))).toBe("known");
      expect(tab.receive(leader.enter(ephemeral("both"), "a"))).toBe("next");
    });

    test("asks for one that it has missed, and goes on if nobody has it", () => {
      const leader = received(fresh);
      const tab = began(later);
      tab.followFrom(leader);
      leader.enter(ephemeral("missed"), "a");
      expect(tab.receive(leader.enter(ephemeral("x"), "a"))).toBe("gap");
      expect(leader.after(tab.cursor)).toEqual([]);
      tab.followFrom(leader);
      expect(tab.receive(leader.enter(ephemeral("y"), "a"))).toBe("next");
    });
  });

  test("what is before an event that a tab has is past, and what a late leader brings after it is not", () => {
    const leader = received(fresh);
    const tab = new Received("");
    for (const message of [fresh, ephemeral("both"), event(20)]) tab.enter(message, "b");
    tab.followFrom(leader);
    expect(tab.receive(leader.enter(ephemeral("both"), "a"))).toBe("known");
    expect(tab.receive(leader.enter(event(20), "a"))).toBe("known");
    expect(tab.receive(leader.enter(ephemeral("new"), "a"))).toBe("next");
  });

  test("a leader that has resumed from an id without an event goes on for all, also who has not heard of that", () => {
    const leader = received(fresh, status({ status: "resumed", client: "d" }, "e-90"));
    const entry = leader.enter(event(95), "a");
    expect(data(leader.after("e-10"))).toEqual(["95"]);
    for (const id of ["e-10", "e-20"]) {
      expect(received(status({ status: "fresh", client: "c" }, id)).receive(entry)).toBe("next");
    }
  });

  test("the end of the stream is for all who are there", () => {
    const end = received(fresh, event(12)).enter({ event: "tidings:end", data: '{"reason":"finished"}' }, "a");
    expect(received(fresh, event(12)).receive(end)).toBe("next");
    expect(received(fresh, ephemeral("a"), event(14)).receive(end)).toBe("next");
    expect(received(fresh).receive(end)).toBe("gap");
  });
});

test("positions are compared as numbers of any size, in one history", () => {
  for (const [id, other] of [["e-9", "e-10"], ["e-10", "e-10"], ["a-b-9", "a-b-10"], ["e-9007199254740993", "e-18446744073709551615"]]) {
    expect(isUpTo(id as string, other as string)).toBe(true);
  }
  for (const [id, other] of [["e-10", "e-9"], ["e-9", "f-10"], ["e", "e-1"], ["", "e-1"], ["e-9007199254740993", "e-9007199254740992"]]) {
    expect(isUpTo(id as string, other as string)).toBe(false);
  }
});
