;; SPDX-License-Identifier: Apache-2.0
;; The application of README.md for SBCL: a thread for each connection.
(require :sb-bsd-sockets)
(require :sb-posix)

(defpackage :sessions (:use :common-lisp))
(in-package :sessions)

(defvar *keep-all* (equal (sb-posix:getenv "KEEP") "all"))
(defvar *bytes* (parse-integer (or (sb-posix:getenv "SESSION_BYTES") "1000")))
(defvar *first* nil)
(defvar *last* nil)
(defvar *kept* 0)
(defvar *made* 0)
(defvar *lock* (sb-thread:make-mutex))

(defun create ()
  (sb-thread:with-mutex (*lock*)
    (let ((cell (list (make-array *bytes* :element-type '(unsigned-byte 8) :initial-element 120))))
      (if *last* (setf (cdr *last*) cell) (setf *first* cell))
      (setf *last* cell)
      (when (and (> (incf *kept*) 100) (not *keep-all*))
        (pop *first*)
        (decf *kept*))
      (format nil "session ~d~%" (incf *made*)))))

(defun answer (path)
  (cond ((equal path "/sessions") (create))
        ((equal path "/search") (format nil "~{result ~d~^~%~}" (loop for i from 1 to 30 collect i)))
        ((equal path "/kept") (format nil "~d 0~%" *made*))
        (t (prin1-to-string `(:path ,path :tags (a b c))))))

(defun skip-headers (stream)
  (loop for line = (read-line stream nil) while (and line (> (length line) 1))))

(defun serve (stream)
  (loop for line = (read-line stream nil) while line
        do (let* ((begin (1+ (position #\space line))) (end (position #\space line :start begin)))
             (skip-headers stream)
             (let ((text (answer (subseq line begin end))))
               (format stream "HTTP/1.1 200 OK~c~cContent-Length: ~d~c~c~c~c~a" #\return #\newline (length text)
                       #\return #\newline #\return #\newline text)
               (finish-output stream))))
  (close stream))

(defun main ()
  (let ((listener (make-instance 'sb-bsd-sockets:inet-socket :type :stream :protocol :tcp)))
    (sb-bsd-sockets:socket-bind listener #(127 0 0 1) 0)
    (sb-bsd-sockets:socket-listen listener 64)
    (format t "listening on ~d~%" (nth-value 1 (sb-bsd-sockets:socket-name listener)))
    (finish-output)
    (loop (let ((stream (sb-bsd-sockets:socket-make-stream (sb-bsd-sockets:socket-accept listener)
                                                           :input t :output t :buffering :full :external-format :latin-1)))
            (sb-thread:make-thread (lambda () (ignore-errors (serve stream))))))))

(main)
