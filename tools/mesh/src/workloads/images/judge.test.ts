import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { judgeJobs, type JobSeen } from './judge.ts';

const seen = (more: Partial<JobSeen>): JobSeen => ({
  kind: 'rgb',
  id: 'j',
  undisturbed: false,
  acceptMs: 10,
  jobMs: 100,
  finding: undefined,
  ...more,
});

describe('the verdict on image jobs', () => {
  it('each finding breaks the verdict on image jobs and names the job', () => {
    assert.ok(judgeJobs([seen({})]).ok);
    for (const kind of ['failed', 'unfinished', 'no_result', 'differs', 'not_accepted'] as const) {
      const id = kind === 'not_accepted' ? null : 'bad';
      const { ok, document } = judgeJobs([seen({}), seen({ id, finding: { kind, detail: 'why' } })]);
      assert.ok(!ok, kind);
      assert.deepEqual(document.findings, [{ kind, detail: 'why', job: id }]);
      assert.equal(document.identical, kind !== 'differs');
      assert.equal(document.accepted, kind === 'not_accepted' ? 1 : 2);
      assert.equal(document.failed, ['differs', 'not_accepted'].includes(kind) ? 0 : 1);
    }
  });

  it('no accepted job is no pass, and no finished job is not identical', () => {
    assert.ok(!judgeJobs([]).ok);
    const { document } = judgeJobs([seen({ finding: { kind: 'failed', detail: 'why' } })]);
    assert.equal(document.identical, false);
  });

  it('added time is measured against the same kind without faults', () => {
    const { document } = judgeJobs([
      ...[90, 100, 500].map((jobMs) => seen({ undisturbed: true, jobMs })),
      seen({ undisturbed: true, kind: 'tall', jobMs: 1_000 }),
      seen({ jobMs: 130 }),
      seen({ jobMs: 80 }),
      seen({ kind: 'tall', jobMs: 1_700 }),
      seen({ kind: 'never seen before', jobMs: 9 }),
    ]);
    assert.deepEqual(document.addedMs, { n: 3, p50: 30, p99: 700, max: 700 });
    assert.equal(document.undisturbedMs?.n, 4);
  });
});
