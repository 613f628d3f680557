/** The lossy link of `mesh demo`, under the name that the tests of billing and checkout know it by. */
export {
  startLossyProxy as startFlakyProxy,
  type LossyProxy as FlakyProxy,
  type Loss,
} from '@thermomesh/links';
