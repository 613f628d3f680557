/** TCP links that break on purpose. */
export {
  LinkCondition,
  LinkConditions,
  LinkDirection,
  LinkState,
  blocks,
  describeCondition,
  passing,
} from './condition.ts';
export { defaultLinkLimits, type LinkLimits } from './limits.ts';
export { openLink, type Link, type LinkSpec } from './link.ts';
export { openLinks, type Links, type LinkReport } from './links.ts';
export { startLossyProxy, type Loss, type LossyProxy } from './lossy.ts';
