import { describePartitions } from './conformance/partition.ts';

describePartitions('bully');
