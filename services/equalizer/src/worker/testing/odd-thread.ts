/** A thread that does what the name of the file asks for, to see what the pool makes of it. */
import { parentPort } from 'node:worker_threads';
import type { ImageTask } from '../messages.ts';

parentPort?.on('message', (task: ImageTask) => {
  const what = 'file' in task ? task.file : '';
  if (what === 'throw') throw new Error('thrown outside of any task');
  if (what === 'exit') process.exit(7);
  if (what === 'refuse') {
    parentPort?.postMessage({ failure: { code: 'image.damaged', message: 'as asked', retriable: false } });
  }
  if (what === 'answer') parentPort?.postMessage({ result: { answered: true } });
  // Anything else is never answered.
});
