//go:build amd64 && !purego

#include "textflag.h"

// func flushLinesOpt(p *byte, n int)
TEXT ·flushLinesOpt(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ n+8(FP), CX
	ADDQ AX, CX          // behind the last byte
	ANDQ $~63, AX        // the line of the first

line:
	CMPQ AX, CX
	JAE  done
	CLFLUSHOPT (AX)
	ADDQ $64, AX
	JMP  line

done:
	MFENCE               // flushes are ordered by fences alone
	RET

// func flushLines(p *byte, n int)
TEXT ·flushLines(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ n+8(FP), CX
	ADDQ AX, CX
	ANDQ $~63, AX

line:
	CMPQ AX, CX
	JAE  done
	CLFLUSH (AX)
	ADDQ $64, AX
	JMP  line

done:
	MFENCE
	RET

// func cpuidFeatures() (ebx uint32)
TEXT ·cpuidFeatures(SB), NOSPLIT, $0-4
	MOVL $0, AX
	CPUID                // AX: the highest leaf
	MOVL $0, BX
	CMPL AX, $7
	JB   none
	MOVL $7, AX
	MOVL $0, CX
	CPUID
none:
	MOVL BX, ebx+0(FP)
	RET
