import { describeCrashes } from './conformance/crashes.ts';

describeCrashes('zookeeper');
