/** The part of the mesh tool that end-to-end tests use. */
export { parsePartition, parseSelectors, type CutFault } from '../chaos/faults/cut.ts';
export { parseSchedule } from '../chaos/runner/schedule.ts';
export { readMeshConfig } from '../config.ts';
export { equalizerProcess } from '../mesh/equalizer-process.ts';
export { readMembers } from '../mesh/members.ts';
export { until } from '../mesh/until.ts';
export { makeSamples, type Sample } from '../mesh/images/programs.ts';
export { startMesh, type MeshHandle, type StartMeshOptions } from './mesh-handle.ts';
