import { startTestApiServer } from './apiserver/apiserver.fixture.ts';
import { writeFileSync } from 'node:fs';
const t0 = Date.now();
const s = await startTestApiServer();
writeFileSync('/tmp/lead/kubeconfig', s.kubeConfig.exportConfig());
console.log(s.url, Date.now() - t0, process.memoryUsage().rss / 1e6);
process.on('SIGTERM', async () => { await s.stop(); process.exit(0); });
setInterval(() => {}, 1000);
