module embedjobs

go 1.22
