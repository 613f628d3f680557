/**
 * The session's lifecycle as a pure function, without a clock or sockets. The library stays
 * "connected" to a frozen server without limit, so the clock decides: an answer proves that the
 * session was alive when its request was sent, and nothing proves more than that.
 *
 * latent → connecting → connected ⇄ suspended → lost → connected (another session) … → closed
 *
 * After two thirds of the granted timeout without proof the session is suspended: its owner stops
 * acting. After the whole timeout it is lost and never resumed, although the server may be more
 * patient. This is Curator's rule with a deadline of the client's own.
 */

export type SessionPhase = 'latent' | 'connecting' | 'connected' | 'suspended' | 'lost' | 'closed';

export interface SessionState {
  phase: SessionPhase;
  /** Set from the handshake's answer until `lost`, also while suspended. */
  session: { id: bigint; timeoutMs: number } | undefined;
  linked: boolean;
  /** When the latest request was sent whose answer proves that the session was alive. */
  provenAtMs: number;
  /** The deadline of the handshake that is under way. */
  handshakeDueMs: number | undefined;
}

export type SessionEvent =
  | { type: 'start' }
  | { type: 'dialled'; nowMs: number }
  | { type: 'linked'; nowMs: number; sentAtMs: number; id: bigint; timeoutMs: number }
  | { type: 'answered'; nowMs: number; sentAtMs: number }
  | { type: 'unlinked'; nowMs: number }
  | { type: 'expired' }
  | { type: 'refused' }
  | { type: 'tick'; nowMs: number }
  | { type: 'close' };

export type SessionEffect =
  /** Create a client object for a new session. */
  | { type: 'open' }
  /** Break the connection: another server may answer. */
  | { type: 'drop' }
  /** The client object is not needed any more. End its session if the server can be reached. */
  | { type: 'discard' }
  | { type: 'notify'; phase: SessionPhase };

export interface SessionRules {
  handshakeTimeoutMs: number;
}

export const initialSession: SessionState = {
  phase: 'latent',
  session: undefined,
  linked: false,
  provenAtMs: -Infinity,
  handshakeDueMs: undefined,
};

type Step = [SessionState, SessionEffect[]];

/** The time from which the holder of a lease must not act; -Infinity if there is no session. */
export function actUntilMs(state: SessionState): number {
  return state.session === undefined
    ? -Infinity
    : state.provenAtMs + Math.floor((state.session.timeoutMs * 2) / 3);
}

/** The time from which the session counts as lost; -Infinity if there is none. */
export function lostAtMs(state: SessionState): number {
  return state.session === undefined ? -Infinity : state.provenAtMs + state.session.timeoutMs;
}

/** True if the owner of the session may act now on what the session owns. */
export function mayAct(state: SessionState, nowMs: number): boolean {
  return state.phase === 'connected' && nowMs < actUntilMs(state);
}

/** When the next `tick` is due; undefined if time changes nothing. */
export function nextTickMs(state: SessionState): number | undefined {
  const due: number[] = [];
  if (state.handshakeDueMs !== undefined) due.push(state.handshakeDueMs);
  if (state.phase === 'connected') due.push(actUntilMs(state));
  if (state.phase === 'suspended') due.push(lostAtMs(state));
  return due.length === 0 ? undefined : Math.min(...due);
}

/** Computes the state after an event and the effects to carry out. */
export function step(state: SessionState, event: SessionEvent, rules: SessionRules): Step {
  if (state.phase === 'closed') return [state, []];
  switch (event.type) {
    case 'start':
      if (state.phase !== 'latent') return [state, []];
      return [{ ...state, phase: 'connecting' }, [{ type: 'notify', phase: 'connecting' }, { type: 'open' }]];
    case 'close':
    case 'refused':
      return [
        { ...initialSession, phase: 'closed' },
        [{ type: 'notify', phase: 'closed' }, { type: 'discard' }],
      ];
    case 'expired':
      return lose(state);
    case 'dialled':
      return afterDeadlines(state, event.nowMs, (current) => [
        { ...current, handshakeDueMs: event.nowMs + rules.handshakeTimeoutMs },
        [],
      ]);
    case 'linked':
      return afterDeadlines(state, event.nowMs, (current) => link(current, event));
    case 'answered': {
      // Record the proof first: it holds whenever it is read.
      const proven = { ...state, provenAtMs: Math.max(state.provenAtMs, event.sentAtMs) };
      return afterDeadlines(proven, event.nowMs, (current) => [current, []]);
    }
    case 'unlinked':
      return afterDeadlines(state, event.nowMs, (current) => suspend(current, []));
    case 'tick':
      return afterDeadlines(state, event.nowMs, (current) => [current, []]);
  }
}

/**
 * Deadlines are checked before the event. A process that was stopped wakes to a queue of events in
 * any order. Whatever they say, a session past its deadline is lost, and events of its client
 * object no longer count.
 */
function afterDeadlines(state: SessionState, nowMs: number, then: (state: SessionState) => Step): Step {
  if (state.session !== undefined && nowMs >= lostAtMs(state)) return lose(state);
  if (state.phase === 'connected' && nowMs >= actUntilMs(state)) {
    const [suspended, effects] = suspend(state, [{ type: 'drop' }]);
    return after(effects, then(suspended));
  }
  if (state.handshakeDueMs !== undefined && nowMs >= state.handshakeDueMs) {
    return after([{ type: 'drop' }], then({ ...state, handshakeDueMs: undefined }));
  }
  return then(state);
}

function after(effects: SessionEffect[], [state, more]: Step): Step {
  return [state, [...effects, ...more]];
}

function link(state: SessionState, event: { sentAtMs: number; id: bigint; timeoutMs: number }): Step {
  const same = state.session?.id === event.id;
  const linked: SessionState = {
    phase: 'connected',
    session: { id: event.id, timeoutMs: event.timeoutMs },
    linked: true,
    provenAtMs: same ? Math.max(state.provenAtMs, event.sentAtMs) : event.sentAtMs,
    handshakeDueMs: undefined,
  };
  return [linked, [{ type: 'notify', phase: 'connected' }]];
}

function suspend(state: SessionState, effects: SessionEffect[]): Step {
  const unlinked = { ...state, linked: false, handshakeDueMs: undefined };
  if (state.phase !== 'connected') return [unlinked, effects];
  return [{ ...unlinked, phase: 'suspended' }, [{ type: 'notify', phase: 'suspended' }, ...effects]];
}

/**
 * A loss always passes through `suspended`, so that a listener which only knows `suspended` has
 * stopped acting too.
 */
function lose(state: SessionState): Step {
  const reopen: SessionEffect[] = [{ type: 'discard' }, { type: 'open' }];
  const fresh: SessionState = {
    ...initialSession,
    phase: state.session === undefined ? state.phase : 'lost',
  };
  if (state.session === undefined) return [fresh, reopen];
  const suspended: SessionEffect[] =
    state.phase === 'connected' ? [{ type: 'notify', phase: 'suspended' }] : [];
  return [fresh, [...suspended, { type: 'notify', phase: 'lost' }, ...reopen]];
}
