"""What is learned: test errors of Chainrule's recipe beside other learners on real tables."""
