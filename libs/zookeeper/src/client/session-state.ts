/**
 * The life of a session as a function: no clock, no sockets. The library stays "connected" to a frozen server for ever, so the
 * clock decides: an answer proves that the session was alive when its request was sent, and nothing proves more than that.
 *
 *   latent → connecting → connected ⇄ suspended → lost → connected (another session) … → closed
 *
 * Two thirds of the granted timeout without proof: suspended, stop acting. The whole of it: lost, and never resumed, although the
 * server may be more patient. That is Curator's rule with the client's own deadline.
 */

export type SessionPhase = 'latent' | 'connecting' | 'connected' | 'suspended' | 'lost' | 'closed';

export interface SessionState {
  phase: SessionPhase;
  /** From the server's first word to `lost`: also while suspended. */
  session: { id: bigint; timeoutMs: number } | undefined;
  linked: boolean;
  /** When the request was sent whose answer proved the session alive last. */
  provenAtMs: number;
  /** By when the handshake of the connection under way has to be done. */
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
  /** Make a client object for a new session. */
  | { type: 'open' }
  /** Break the connection: another server may answer. */
  | { type: 'drop' }
  /** The client object is of no further use; end its session if it can still be told. */
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

/** From this moment the holder of a lease must not act; -Infinity if there is no session. */
export function actUntilMs(state: SessionState): number {
  return state.session === undefined
    ? -Infinity
    : state.provenAtMs + Math.floor((state.session.timeoutMs * 2) / 3);
}

/** From this moment the session counts as gone; -Infinity if there is none. */
export function lostAtMs(state: SessionState): number {
  return state.session === undefined ? -Infinity : state.provenAtMs + state.session.timeoutMs;
}

/** True if what the session owns may be acted on now. */
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

/** What the session is after an event, and what has to be done. */
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
      // The proof first: it is true whenever it is read.
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
 * What the clock says goes first. A process that was stopped wakes to a queue of events in any order; whatever they say, a
 * session whose time is up is lost, and events of the client object that goes with it no longer count.
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

/** Always by way of suspended, so that whoever listens only to that has stopped acting too. */
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
