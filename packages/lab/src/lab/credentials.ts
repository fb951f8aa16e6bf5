/** The keys of the lab's own account; they open nothing else. */
export const CREDENTIALS = {
  accessKeyId: 'AKIAENIDLAB000000000',
  secretAccessKey: 'enid-lab-secret-access-key',
};
