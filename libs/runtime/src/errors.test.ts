import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defineErrors } from './errors.ts';

describe('a closed list of error codes', () => {
  const { codes, error } = defineErrors({
    'mail.full': { retriable: true },
    'mail.refused': { retriable: false },
    'mail.failed': { retriable: 'depends' },
  });

  it('an error is retriable if the list of its codes says it is', () => {
    assert.equal(error('mail.full', 'no space').retriable, true);
    assert.equal(error('mail.refused', 'no such address').retriable, false);
    assert.deepEqual(Object.keys(codes), ['mail.full', 'mail.refused', 'mail.failed']);
  });

  it('the throw decides if the list leaves it open whether an error is retriable', () => {
    const cause = new Error('socket closed');
    const failed = error('mail.failed', 'no answer', { retriable: true, cause });
    assert.equal(failed.retriable, true);
    assert.equal(failed.cause, cause);
    assert.equal(error('mail.failed', 'refused', { retriable: false }).retriable, false);
  });

  it('an error code outside the list does not compile', () => {
    // @ts-expect-error: `mail.unknown` is in no list
    assert.equal(error('mail.unknown', 'what').retriable, false);
    // @ts-expect-error: the list has decided
    error('mail.full', 'no space', { retriable: false });
  });
});
