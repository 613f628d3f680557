import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JobMetadata } from '@thermomesh/contracts';
import { isVersion, viewOf } from './job-view.ts';
import type { JobDocument } from './jobs.ts';

const id = '0b8f2c1e-1111-4222-8333-444455556666';
const submission = {
  id,
  caller: 'key:ann',
  input: `jobs/${id}/input`,
  parameters: {},
  fileName: '',
  submittedAtMs: 0,
};
const document = (phase: JobMetadata['phase'] | null): JobDocument => ({
  submission,
  metadata: phase === null ? null : ({ phase, result: null, reason: null, image: null } as JobMetadata),
});
const view = (
  phase: JobMetadata['phase'] | null,
  zxid: bigint,
  progress?: [string, number, number, bigint],
) =>
  viewOf(
    { document: document(phase), zxid },
    progress && {
      document: { phase: progress[0], done: progress[1], chunks: progress[2] },
      zxid: progress[3],
    },
  );

describe('a view', () => {
  it('a view takes its finer phase only from progress of the same phase', () => {
    const shown = (...of: Parameters<typeof view>) => {
      const { phase, progress } = view(...of);
      return `${phase} ${progress === null ? '-' : `${progress.done}/${progress.chunks}`}`;
    };
    assert.equal(shown(null, 1n), 'queued -');
    assert.equal(shown('mapping', 2n, ['mapping', 1, 4, 3n]), 'mapping 1/4');
    assert.equal(shown('mapping', 2n, ['reducing', 4, 4, 3n]), 'reducing 4/4');
    assert.equal(shown('applying', 4n, ['reducing', 4, 4, 3n]), 'applying -');
    assert.equal(shown('applying', 4n, ['stitching', 4, 4, 5n]), 'stitching 4/4');
    assert.equal(shown('finished', 6n, ['stitching', 4, 4, 5n]), 'finished -');
    assert.equal(shown('mapping', 2n, ['finished', 4, 4, 3n]), 'mapping -');
    assert.equal(shown('decoding', 2n, ['decoding', 0, 0, 3n]), 'decoding -');
  });

  it('the version of a view grows as text, whichever document changed', () => {
    const versions = [
      view(null, 9n),
      view('mapping', 10n),
      view('mapping', 10n, ['mapping', 1, 4, 11n]),
      view('mapping', 10n, ['mapping', 2, 4, 255n]),
      view('applying', 256n, ['mapping', 2, 4, 255n]),
      view('finished', 2n ** 53n),
      view('finished', 2n ** 63n),
    ].map(({ version }) => version);
    assert.deepEqual(versions, [...new Set(versions)].sort());
    for (const version of versions) assert.ok(isVersion(version), version);
    for (const odd of ['', 'x', '1-2', `${versions[0]}0`, versions[0]!.toUpperCase().replace('0', 'G')])
      assert.ok(!isVersion(odd), odd);
  });
});
