import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeJob, describeParameters } from './progress.ts';

describe('the progress of an image job', () => {
  it('the progress bar is full with the last chunk and not before', () => {
    const line = (done: number, chunks: number) =>
      describeJob({ phase: 'mapping', progress: { done, chunks } });
    assert.equal(line(0, 40), `mapping   ${'░'.repeat(30)} 0/40 chunks`);
    assert.match(line(39, 40), /█{29}░ 39\/40/);
    assert.match(line(40, 40), /█{30} 40\/40/);
    // A client may see the count of an earlier plan of the job.
    assert.match(line(41, 40), /█{30} 41\/40/);
  });

  it('phases without chunks have no progress bar', () => {
    assert.equal(describeJob({ phase: 'decoding', progress: null }), 'decoding');
    assert.equal(describeJob({ phase: 'mapping', progress: { done: 0, chunks: 0 } }), 'mapping');
  });

  it('parameters of a job read as words', () => {
    assert.equal(describeParameters({}), 'as the image is');
    assert.equal(
      describeParameters({ mode: 'luminance', definition: 'vips', page: 2 }),
      'luminance, vips, page 2',
    );
  });
});
