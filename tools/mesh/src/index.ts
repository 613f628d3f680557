/** What tests and other tools use of the mesh. */
export { startMesh, type MeshHandle, type StartMeshOptions } from './handle.ts';
export { readBroker, readCoordinator, readNodes, readStatus, openMesh, type Mesh } from './client/mesh.ts';
export { readMembers } from './client/members.ts';
export { untilDrained } from './client/drained.ts';
export { until } from './client/until.ts';
export { judgeLoad, startLoad, type LoadOptions, type LoadVerdict, type RunningLoad } from './client/load.ts';
export { runChaos, type ChaosOptions } from './chaos/run.ts';
export { parsePartition, parseSelectors, type CutBlow } from './chaos/cut.ts';
export { parseSchedule, type Step } from './chaos/schedule.ts';
export type { LinksClient } from './client/links.ts';
export { verifyMesh, openPool, type Verification } from './verdict/verify.ts';
export { makeSamples, type Sample } from './equalize/programs.ts';
export { readMeshConfig, type MeshConfig } from './config.ts';
export { equalizerProcess } from './supervisor/equalizer-process.ts';
