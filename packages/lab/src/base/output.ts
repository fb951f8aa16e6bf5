import type { ChildProcess } from 'node:child_process';

/** What a program printed, and its exit status: null when a signal ended it. */
export type Output = { readonly status: number | null; readonly stdout: string; readonly stderr: string };

/** Waits for a process to end. Its stdout and stderr are pipes. @throws when it could not be started. */
export async function collect(child: ChildProcess): Promise<Output> {
  let stdout = '';
  let stderr = '';
  child.stdout!.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr!.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, stdout, stderr }));
  });
}
