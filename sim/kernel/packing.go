package kernel

// packed is how many channels are packed together. Of w channels, 32 or what is left at the end of a row, a
// code of
//
//	4 bits: byte i holds channels i and i + (w+1)/2, the first in its low half
//	2 bits: byte i holds channels i, i + q, i + 2q and i + 3q, q = (w+3)/4, from its lowest bits on
//	3 bits: the lower two bits as above, then the third of each, eight channels to a byte
//	5 bits: the lower four bits as above, then the fifth of each, eight channels to a byte
//
// so that a vector of neighbouring channels comes of one load and one shift.
const packed = GroupDim

// codeBytes returns what the codes of dim channels take.
func codeBytes(bits, dim int) int {
	rest := dim % packed
	n := dim / packed * (packed * bits / 8)
	switch bits {
	case 8:
		return n + rest
	case 5:
		return n + (rest+1)/2 + (rest+7)/8
	case 4:
		return n + (rest+1)/2
	case 3:
		return n + (rest+3)/4 + (rest+7)/8
	default:
		return n + (rest+3)/4
	}
}

// group returns the codes that channel i of a row of dim is packed into, how many channels they hold, and its
// place among them.
func group(codes []byte, bits, i, dim int) (part []byte, width, at int) {
	lo := i / packed * packed
	return codes[lo*bits/8:], min(packed, dim-lo), i - lo
}

// putCode sets the code of channel i of a row of dim channels; its bits must be zero.
func putCode(codes []byte, bits, i, dim int, c byte) {
	part, w, at := group(codes, bits, i, dim)
	q := (w + 3) / 4
	switch bits {
	case 8:
		part[at] = c
	case 5:
		part[(w+1)/2+at/8] |= c >> 4 << (at % 8)
		putNibble(part, at, w, c&15)
	case 4:
		putNibble(part, at, w, c)
	case 3:
		part[q+at/8] |= c >> 2 << (at % 8)
		fallthrough
	default:
		part[at%q] |= c & 3 << (2 * (at / q))
	}
}

// lookUp writes the entries of the table for channels from and later of a row of dim channels to dst, up to
// its length; from is a multiple of packed.
func lookUp(codes []byte, bits, dim, from int, table, dst []float32) {
	for lo := 0; lo < len(dst); lo += packed {
		part, w, _ := group(codes, bits, from+lo, dim)
		out := dst[lo:min(lo+w, len(dst))]
		q := (w + 3) / 4
		switch bits {
		case 8:
			for i := range out {
				out[i] = table[part[i]]
			}
		case 5:
			for i := range out {
				out[i] = table[nibble(part, i, w)|part[(w+1)/2+i/8]>>(i%8)&1<<4]
			}
		case 4:
			for i := range out {
				out[i] = table[nibble(part, i, w)]
			}
		case 3:
			for i := range out {
				out[i] = table[part[i%q]>>(2*(i/q))&3|part[q+i/8]>>(i%8)&1<<2]
			}
		default:
			for i := range out {
				out[i] = table[part[i%q]>>(2*(i/q))&3]
			}
		}
	}
}
