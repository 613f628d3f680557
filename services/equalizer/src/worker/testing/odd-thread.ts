/** A thread that misbehaves as the name of the task's file requests, to test the pool. */
import { parentPort } from 'node:worker_threads';
import type { ImageTask } from '../messages.ts';

parentPort?.on('message', (task: ImageTask) => {
  const what = 'file' in task ? task.file : '';
  if (what === 'throw') throw new Error('thrown outside of any task');
  if (what === 'exit') process.exit(7);
  if (what === 'refuse') {
    parentPort?.postMessage({
      failure: { code: 'image.damaged', message: 'as requested', retriable: false },
    });
  }
  if (what === 'answer') parentPort?.postMessage({ result: { answered: true } });
  // Other tasks are never answered.
});
