# SPDX-License-Identifier: Apache-2.0
"""Python's ways of making processes, each of which must give the same with and without the shim: prints their results."""
import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
from multiprocessing import shared_memory


def square(n):
    return n * n


def through_queue(queue, n):
    queue.put([n] * 1000)


def main():
    for method in ('fork', 'spawn', 'forkserver'):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            print(method, 'pool', sum(pool.map(square, range(200))))
        queue = context.Queue()
        child = context.Process(target=through_queue, args=(queue, 7))
        child.start()
        print(method, 'queue', sum(queue.get(timeout=30)))
        child.join(30)
        print(method, 'exit', child.exitcode)
    with concurrent.futures.ProcessPoolExecutor(2) as executor:
        print('executor', sum(executor.map(square, range(100))))
    block = shared_memory.SharedMemory(create=True, size=65536)
    block.buf[:5] = b'hello'
    print('shared', bytes(block.buf[:5]))
    block.close()
    block.unlink()

    print('run', subprocess.run(['echo', 'one'], stdout=subprocess.PIPE, check=True).stdout)
    print('shell', subprocess.run('cat; exit 3', shell=True, input=b'two', stdout=subprocess.PIPE).returncode)
    print('missing', type(_fails(['/nonexistent/program'])).__name__)
    print('environment', subprocess.run(['/bin/sh', '-c', 'echo $A'], env={'A': 'b'}, stdout=subprocess.PIPE).stdout)
    print('preexec', subprocess.run(['pwd'], preexec_fn=lambda: os.chdir('/'), stdout=subprocess.PIPE).stdout)
    print('spawn', os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn('/bin/false', ['false'], os.environ), 0)[1]))
    killed = subprocess.Popen(['sleep', '60'])
    killed.kill()
    print('killed', killed.wait())
    pids = [os.spawnlp(os.P_NOWAIT, 'true', 'true') for _ in range(8)]
    print('spawned', [os.waitpid(pid, 0)[1] for pid in pids])
    sys.exit(5)


def _fails(cmd):
    try:
        subprocess.run(cmd)
    except OSError as error:
        return error
    return None


if __name__ == '__main__':
    main()
