import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import {
  accepted,
  isOpen,
  step,
  type DeadlineState,
  type Lifecycle,
  type LifecycleEvent,
} from './lifecycle.ts';

const deadline = fc.constantFrom<DeadlineState>('ahead', 'near', 'passed');
const event: fc.Arbitrary<LifecycleEvent> = fc.oneof(
  fc.record({ type: fc.constant('deliver' as const), deadline }),
  fc.record({
    type: fc.constant('acknowledge' as const),
    deadline,
    outcome: fc.constantFrom('done' as const, 'failed' as const),
  }),
  fc.record({ type: fc.constant('cancel' as const), deadline }),
  fc.record({ type: fc.constant('sweep' as const), deadline }),
);

it('no sequence of events sends a command after its deadline or its end', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      let state: Lifecycle = accepted;
      for (const one of events) {
        const [next, effect] = step(state, one);
        if (effect === 'send') assert.ok(isOpen(state.status) && one.deadline === 'ahead');
        if (!isOpen(state.status)) assert.equal(next.status, state.status, 'a final status changed');
        if (next.status === 'done' || next.status === 'failed') assert.equal(next.outcome, next.status);
        if (next.outcome !== null) assert.ok(next.deliveries > 0, 'acknowledged, but never sent');
        if (state.outcome !== null) assert.equal(next.outcome, state.outcome, 'a second answer changed it');
        assert.equal(next.status === 'accepted', next.deliveries === 0 && isOpen(next.status));
        state = next;
      }
    }),
  );
});

it('a command that nothing acknowledges ends when its deadline has passed', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      let state: Lifecycle = accepted;
      for (const one of events) [state] = step(state, one);
      const [last] = step(state, { type: 'sweep', deadline: 'passed' });
      assert.ok(!isOpen(last.status));
    }),
  );
});

it('an answer after the deadline is kept, and the command stays expired', () => {
  let [state] = step(accepted, { type: 'deliver', deadline: 'ahead' });
  [state] = step(state, { type: 'sweep', deadline: 'passed' });
  [state] = step(state, { type: 'acknowledge', deadline: 'passed', outcome: 'done' });
  assert.deepEqual(state, { status: 'expired', deliveries: 1, outcome: 'done' });
});
