//go:build !purego

#include "textflag.h"

// func flushLines(p *byte, n int)
TEXT ·flushLines(SB), NOSPLIT, $0-16
	MOVD p+0(FP), R0
	MOVD n+8(FP), R1
	ADD  R0, R1          // behind the last byte
	MRS  CTR_EL0, R2
	UBFX $16, R2, $4, R2 // log2 of the words in the smallest data line
	MOVD $4, R3
	LSL  R2, R3, R3      // its bytes
	SUB  $1, R3, R4
	BIC  R4, R0          // the line of the first byte

line:
	CMP  R1, R0
	BHS  done
	DC   CIVAC, R0
	ADD  R3, R0
	B    line

done:
	DSB  $15             // SY
	RET
