// Package faults breaks a whole Parley on purpose, one fault after the other, and sees
// that what must hold of money, talks and people still does. Its tests are the suite:
//
//	make faults     # all faults; the table goes to docs/faults.md
//	make test       # with the most telling ones
//
// A fault is made from outside: by signals, and on wires between the program and its
// Asterisk, Postgres and Redis, which can be cut, frozen and slowed down, and which see
// what the program says, so that it can be killed between any two commands. The program
// under test has no fail points.
package faults
