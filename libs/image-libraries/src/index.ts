export {
  findImageLibraries,
  runJobs,
  vipsHistEqual,
  type ImageLibraries,
  type LibraryJob,
} from './libraries.ts';
