#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What servers call: every function of libc that touches memory, descriptors, sockets, waits or processes is intercepted
(shim/hooks.def) or left out with a reason (shim/omitted.def). The functions are those of glibc's manual and its headers, by
section; which of them a server imports, its files say."""

import glob
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import ROOT, Tap, have, run, work_dir  # noqa: E402

LIBC = '/lib/x86_64-linux-gnu/libc.so.6'

# Names, and patterns where a family has a regular form; each must match something that libc exports.
SUBJECTS = {
    'memory: malloc family': r'''malloc calloc realloc reallocarray free posix_memalign aligned_alloc memalign valloc pvalloc
        malloc_usable_size malloc_trim __libc_(malloc|calloc|realloc|free|memalign|valloc|pvalloc) mcheck mtrace muntrace''',
    'memory: allocated inside libc': r'''strdup __strdup strndup __strndup wcsdup getline getdelim __getdelim v?asprintf
        __v?asprintf_chk __asprintf open_memstream open_wmemstream fmemopen getcwd get_current_dir_name realpath
        __realpath_chk canonicalize_file_name''',
    'memory: mappings': r'''mmap mmap64 munmap mremap remap_file_pages brk sbrk __sbrk mprotect pkey_mprotect madvise
        posix_madvise process_madvise mlock mlock2 munlock mlockall munlockall mincore shmget shmat shmdt shmctl''',
    'descriptors: opened': r'''_*open(64)? openat(64)? __open(at)?(64)?_2 creat(64)? open_by_handle_at
        pipe2? eventfd timerfd_create signalfd inotify_init1? fanotify_init epoll_create1? memfd_create shm_open mq_open
        __mq_open_2 posix_openpt getpt openpty forkpty login_tty pidfd_open pidfd_getfd fsopen fsmount fspick open_tree
        mkstemp(64)? mkostemps?(64)? mkstemps(64)? tmpfile(64)? fopen(64)? freopen(64)? fdopen fopencookie popen
        opendir fdopendir scandir(64)?(at)?(64)? dlopen dlmopen''',
    'descriptors: copied': r'dup dup2 __dup2 dup3 (__)?fcntl(64)?',
    'descriptors: closed': r'''(__)?close close_range closefrom fclose fcloseall closedir pclose mq_close dlclose vhangup
        revoke''',
    'descriptors: opened and closed inside libc': r'''(v|open|close)?(sys)?log __v?syslog_chk openlog closelog ftw(64)? nftw(64)?
        fts_open fts_close fts(64)?_(open|close|read|children) glob(64)? globfree(64)? iconv_open iconv_close setlocale newlocale
        getpwnam(_r)? getpwuid(_r)? getgrnam(_r)? getgrgid(_r)? getpwent(_r)? getgrent(_r)? getspnam(_r)? initgroups getgrouplist
        getservby(name|port)(_r)? getprotoby(name|number)(_r)? getifaddrs if_nameindex if_nametoindex if_indextoname
        getloadavg get_nprocs(_conf)? setmntent endmntent getmntent(_r)? res_n?query res_n?search (__)?res_nclose
        catopen catclose wordexp''',
    'descriptors: epoll, inotify and the like': r'''epoll_ctl inotify_add_watch inotify_rm_watch fanotify_mark timerfd_settime
        timerfd_gettime eventfd_read eventfd_write ioctl''',
    'bytes: read and written': r'''read __read write __write readv writev p(read|write)(64)? __pread64 __pwrite64
        p(read|write)v(64)? p(read|write)v2 p(read|write)v64v2 __(read|pread|pread64|recv|recvfrom)_chk sendfile(64)? splice tee
        vmsplice copy_file_range process_vm_readv process_vm_writev aio_.* lio_listio(64)? readahead''',
    'bytes: stdio': r'''fread fwrite fread_unlocked fwrite_unlocked __fread(_unlocked)?_chk fgets fgets_unlocked
        __fgets(_unlocked)?_chk fputs fputs_unlocked fgetc getc getc_unlocked fputc putc putc_unlocked v?fprintf __v?fprintf_chk
        v?dprintf __v?dprintf_chk v?printf __v?printf_chk puts fflush fflush_unlocked readdir(64)?(_r)? getdents64 fscanf''',
    'sockets': r'''socket socketpair bind bindresvport listen accept accept4 (__)?connect shutdown setsockopt getsockopt
        getsockname getpeername recv recvfrom recvmsg recvmmsg (__)?send sendto sendmsg sendmmsg''',
    'waits: descriptors': r'(__)?poll __poll_chk ppoll __ppoll_chk (__)?select pselect epoll_wait epoll_pwait2?',
    'waits: time': r'(__)?nanosleep clock_nanosleep usleep sleep thrd_sleep',
    'waits: signals': r'''pause (__)?sigsuspend (__)?sigpause __xpg_sigpause sigwait sigwaitinfo sigtimedwait''',
    'waits: threads': r'''pthread_mutex_(lock|timedlock|clocklock|trylock) pthread_rwlock_(try|timed|clock)?(rd|wr)lock
        pthread_cond_(wait|timedwait|clockwait) sem_(wait|timedwait|clockwait|trywait) pthread_join
        pthread_(timedjoin|clockjoin|tryjoin)_np pthread_detach pthread_barrier_wait pthread_spin_lock mtx_(lock|timedlock|trylock)
        cnd_(timed)?wait thrd_join pthread_once call_once flockfile''',
    'waits: files': r'''flock lockf(64)? fsync fdatasync sync syncfs msync sync_file_range fallocate(64)? posix_fallocate(64)?
        tcdrain''',
    'waits: messages and semaphores': r'''msgrcv msgsnd msgget semop semtimedop semget
        mq_(receive|timedreceive|send|timedsend) sem_open sem_close''',
    'waits: names': r'''getaddrinfo getaddrinfo_a gai_suspend getnameinfo gethostby(name2?|addr)(_r)?''',
    'processes: begin': r'''(__)?fork _Fork (__)?vfork (__)?clone posix_spawnp? system daemon
        exec[lv]p?e? execveat fexecve pthread_create thrd_create unshare setns''',
    'processes: end': r'''_?exit _Exit quick_exit abort pthread_exit thrd_exit pthread_cancel kill killpg tgkill raise
        pthread_kill pidfd_send_signal''',
    'processes: waited for': r'wait(pid|id|3|4)? __wait(pid)?',
    'processes: changed': r'prctl setsid set(p|r|re|res)?[ug]id setres[ug]id setgroups chroot ptrace',
    'anything': r'syscall',
}

# Where a server's own code may stand: its program, and libraries that come with it or are made for it.
SERVERS = {
    'nginx': ['nginx', '/usr/lib/nginx/modules/*.so'],
    'redis-server': ['redis-server'],
    'memcached': ['memcached'],
    'postgres': ['/usr/lib/postgresql/*/bin/postgres', '/usr/lib/postgresql/*/lib/*.so'],
    'apache2': ['apache2', '/usr/lib/apache2/modules/*.so'],
    'haproxy': ['haproxy'],
    'node': ['node'],
    'python3': ['/usr/bin/python3', '/usr/lib/python3*/lib-dynload/*.so'],
    'php-fpm': ['php-fpm[0-9]*', '/usr/lib/php/2*/*.so'],
}
NOBODY = 'none of the tested servers imports'
NOT_THEIRS = ('linux-vdso', 'libc.so', 'libm.so', 'ld-linux', 'libpthread.so', 'libdl.so')

RUST = 'fn main() { std::thread::spawn(|| println!("{}", std::net::TcpListener::bind("127.0.0.1:0").is_ok())).join().unwrap(); }'

tap = Tap()


def exports(path):
    text = run(['nm', '-D', '--defined-only', path]).stdout
    return {line.split()[2].split('@')[0] for line in text.splitlines() if len(line.split()) == 3 and line.split()[1] in 'TWi'}


def imports(path):
    """Functions that a file leaves to others: weak references too, and those that are taken by address alone."""
    text = run(['readelf', '--dyn-syms', '-W', path]).stdout
    return {f[7].split('@')[0] for f in map(str.split, text.splitlines())
            if len(f) >= 8 and f[6] == 'UND' and f[3] in ('FUNC', 'NOTYPE')}


def libraries(path):
    """The shared libraries that a program is loaded with."""
    return {match for match in re.findall(r'=> (/\S+)', run(['ldd', path]).stdout)
            if not os.path.basename(match).startswith(NOT_THEIRS)}


def find(pattern):
    if pattern.startswith('/'):
        return glob.glob(pattern)
    paths = [have(pattern)] if have(pattern) else glob.glob(f'/usr/sbin/{pattern}') + glob.glob(f'/usr/bin/{pattern}')
    return [path for path in paths if path]


def check_imports(name, files):
    every = set(files).union(*map(libraries, files))
    imported = {function: path for path in sorted(every) for function in imports(path)}
    unseen = sorted(f'{function} ({os.path.basename(imported[function])})' for function in imported
                    if function in subject_of and function not in hooks | set(omitted))
    if tap.ok(len(imported) > 20, f'{name}: the imports of {len(every)} files are known', imported):
        tap.ok(not unseen, f'{name}: all that it imports is intercepted or left out for a reason', '\n'.join(unseen))
        wrong = sorted(set(imported) & {function for function, reason in omitted.items() if NOBODY in reason})
        tap.equal(wrong, [], f'{name}: it imports nothing that is left out because no server does')


def rust_program():
    source, program = f'{work_dir()}/main.rs', f'{work_dir()}/main'
    with open(source, 'w') as f:
        f.write(RUST)
    built = run(['rustc', '-C', 'prefer-dynamic=no', '-o', program, source], timeout=200)
    return program if built.returncode == 0 else None


def rows(file, pattern):
    with open(f'{ROOT}/shim/{file}') as f:
        return re.findall(pattern, f.read(), re.M | re.S)


hooks = set(rows('hooks.def', r'^HOOK\((\w+),'))
omitted = dict(rows('omitted.def', r'^OMIT\((\w+),\s*"([^"]*)"'))
provided = exports(LIBC)
subject_of = {}
for section, text in SUBJECTS.items():
    for pattern in text.split():
        matched = {name for name in provided if re.fullmatch(pattern, name)}
        tap.ok(matched, f'{section}: libc has {pattern}') if not matched else None
        subject_of.update((name, section) for name in matched)

tap.ok(len(subject_of) > 300, 'libc exports the functions of the list', sorted(subject_of))
tap.equal(sorted(hooks & set(omitted)), [], 'nothing is both intercepted and left out')
tap.equal(sorted(set(omitted) - set(subject_of)), [], 'what is left out is on the list')
tap.equal([name for name, reason in omitted.items() if len(reason) < 15], [], 'what is left out has a reason')
known = hooks | set(omitted)
tap.equal(sorted(name for name in hooks & provided if name not in subject_of), [], 'what is intercepted is on the list')
left = [f'{name} ({subject_of[name]})' for name in sorted(subject_of) if name not in known]
tap.ok(not left, 'every function of the list is intercepted or left out for a reason', '\n'.join(left))

for name, patterns in SERVERS.items():
    program = find(patterns[0])
    if program:
        check_imports(name, program + [path for pattern in patterns[1:] for path in find(pattern)])
    else:
        tap.skip(name, 'not installed')
program = rust_program() if have('rustc') else None
if program:
    check_imports('a Rust program', [program])
else:
    tap.skip('a Rust program', 'rustc is not installed, or cannot build')

tap.done()
