import { describePartitions } from './conformance/partition.ts';

describePartitions('zookeeper');
